-- The rows that both sides start from: every type, NULLs, ties in every order, several rows per relation, and rows
-- that no relation reaches. Columns in the order of schema.prisma.

INSERT INTO users (email, name, role, visits, credit, score, balance, is_active, settings, extra, avatar, tags, numbers, roles, born_on, "createdAt", "updatedAt", "managerId") VALUES
    ('u1@x', 'a',    'administrator', 1,   5,             0.5,   1.5,       true,  '{"a": 1}',                    '{"a": {"b": "deep"}}', '\x68656c6c6f', '{a,b}',  '{1,2}', '{administrator,GUEST}', '2024-01-01', '2024-01-01',                 '2024-01-01', NULL),
    ('u2@x', 'b',    'MEMBER',        2,   1099511627776, 1.5,   12.34,     false, '{}',                          NULL,                   NULL,           '{}',     '{}',    '{}',                    NULL,         '2024-02-29 12:30:15.25',     '2024-01-02', 1),
    ('u3@x', NULL,   'GUEST',         3,   -7,            -2.25, 0,         true,  '[1, "two", null]',            '"str"',                '\x00ff',       '{a}',    '{3}',   '{MEMBER}',              '1969-05-05', '1969-05-05 01:02:03',        '2024-01-03', 1),
    ('u4@x', 'A',    'MEMBER',        0,   0,             0,     1000000.5, true,  '5',                           'null',                 '\x',           '{x%}',   NULL,    NULL,                    '2024-01-01', '2024-01-01',                 '2024-01-04', 2),
    ('u5@x', 'é',    'MEMBER',        100, 1,             1e10,  -2.25,     false, '{"a": 1, "b": [1, 2, {"c": "x"}]}', '{"a": 1}',       NULL,           NULL,     '{1}',   '{GUEST}',               NULL,         '2050-01-01 23:59:59.999',    '2024-01-05', NULL),
    ('u6@x', 'x%',   'GUEST',         2,   1,             0.5,   1.5,       true,  '{"a": "text"}',               '[]',                   '\xff',         '{b,a}',  '{2,1}', '{MEMBER,GUEST}',        '1969-05-05', '2024-02-29 12:30:15.25',     '2024-01-05', 6),
    ('u7@x', NULL,   'MEMBER',        1,   5,             0.5,   0,         false, 'true',                        NULL,                   NULL,           '{}',     '{}',    '{}',                    NULL,         '2024-01-01',                 '2024-01-01', 1);
INSERT INTO "Profile" VALUES
    ('00000000-0000-0000-0000-000000000001', 'a', NULL, 1),
    ('6f1f61d0-5c8a-1a75-8d2f-5f2f3a3a1234', 'b', 'x%', 2),
    ('00000000-0000-0000-0000-000000000003', '',  'a',  4);
INSERT INTO "Post" (id, title, body, views, published, author_id, reviewer_id) VALUES
    ('p1', 'a',  'b',  1,   true,  1, 2),
    ('p2', 'b',  '',   2,   false, 1, NULL),
    ('p3', 'a',  'x%', 3,   true,  2, 1),
    ('p4', 'A',  'é',  0,   false, 2, 2),
    ('p5', 'é',  'a',  100, true,  3, NULL),
    ('p6', 'x%', 'a',  1,   true,  3, 1),
    ('p7', 'c',  'b',  1,   false, 1, 6),
    ('p8', 'd',  'a',  2,   true,  1, 2);
INSERT INTO "Category" (name) VALUES ('a'), ('b'), ('A'), ('x%'), ('é');
INSERT INTO "_CategoryToPost" VALUES (1, 'p1'), (2, 'p1'), (1, 'p2'), (3, 'p3'), (2, 'p5'), (4, 'p5'), (1, 'p8'), (3, 'p1');
INSERT INTO "_tree" VALUES (1, 2), (1, 3), (2, 4), (3, 1), (5, 5);
INSERT INTO "Comment" (post_id, number, text, author_id) VALUES
    ('p1', 1, 'a', 1), ('p1', 2, 'b', 2), ('p1', 3, 'a', 1), ('p2', 1, 'é', NULL), ('p3', 1, 'a', 3), ('p3', 2, 'x%', 1), ('p5', 0, '', 5);
INSERT INTO "Reaction" (kind, post_id, number) VALUES
    ('a', 'p1', 1), ('b', 'p1', 1), ('a', 'p1', 2), ('a', 'p3', 2), ('a', NULL, NULL), ('b', NULL, NULL), ('b', 'p3', NULL);

INSERT INTO "Slot" (at, level, role, seats) VALUES
    ('2024-01-01', 1.5, 'administrator', 4), ('2024-01-01', 1.5, 'GUEST', 1), ('2024-02-29 12:30:15.25', 0, 'MEMBER', 1099511627776), ('1969-05-05 01:02:03', 12.34, 'GUEST', 0);
INSERT INTO "Booking" (id, at, level, role, note) VALUES
    ('00000000-0000-0000-0000-00000000000a', '2024-01-01', 1.5, 'administrator', 'a'),
    ('00000000-0000-0000-0000-00000000000b', '2024-01-01', 1.5, 'administrator', 'b'),
    ('00000000-0000-0000-0000-00000000000c', '2024-02-29 12:30:15.25', 0, 'MEMBER', 'a'),
    ('00000000-0000-0000-0000-00000000000d', NULL, NULL, NULL, ''),
    ('00000000-0000-0000-0000-00000000000e', '2024-01-01', 1.5, NULL, 'x%');
INSERT INTO "Guest" VALUES ('a'), ('B'), ('x%'), ('É');
INSERT INTO "_BookingToGuest" VALUES
    ('00000000-0000-0000-0000-00000000000a', 'a'), ('00000000-0000-0000-0000-00000000000a', 'B'), ('00000000-0000-0000-0000-00000000000b', 'a'), ('00000000-0000-0000-0000-00000000000d', 'x%');
INSERT INTO "Gift" (name, what) VALUES ('A', 'a'), ('a', 'b'), ('b', 'a'), (NULL, 'x%'), ('x%', '');
INSERT INTO "Link" VALUES (4, 'd', NULL), (3, 'c', 4), (2, 'b', 3), (1, 'a', NULL), (5, 'a', 5);

INSERT INTO "Types" (text, flag, whole, big, double, exact, moment, document, blob, role, char, varchar, uuid, xml, inet, citext, bit, varbit, smallint, oid, "real", "numeric", money, "timestamp", "timestamptz", "date", "time", "timetz", plain_json) VALUES
    ('a',  true,  1,    1,             0.5,  1.5,       '2024-01-01',              '{"a": 1}',         '\x68656c6c6f', 'administrator', 'abcd', 'abc',   '00000000-0000-0000-0000-000000000001', NULL,   '10.0.0.1',       'A',  '1010', '1',     1,    1,    1.1,   1.5,   1.5,   '2024-01-01',                 '2024-01-01+00',                 '2024-01-01', '12:30:15', '12:30:15+00', '{"a": 1}'),
    ('b',  false, 2,    1099511627776, 1.5,  12.34,     '2024-02-29 12:30:15.25',  '[1, "two", null]', '\x00ff',       'MEMBER',        'ab',   'short', '6f1f61d0-5c8a-1a75-8d2f-5f2f3a3a1234', NULL,   '::1',            'x%', '0000', '10101', -3,   5000, -2.25, 12.34, 12.34, '1969-05-05 01:02:03.123456', '1969-05-05 01:02:03.123456+00', '1969-05-05', '00:00',    '00:00+00',    '[1]'),
    (NULL, NULL,  NULL, NULL,          NULL, NULL,      NULL,                      NULL,               NULL,           NULL,            NULL,   NULL,    NULL,                                   NULL,   NULL,             NULL, NULL,   NULL,    NULL, NULL, NULL,  NULL,  NULL,  NULL,                         NULL,                            NULL,         NULL,       NULL,          NULL),
    ('A',  true,  -5,   -7,            1e10, 1000000.5, '2050-01-01 23:59:59.999', 'null',             '\x',           'GUEST',         'A',    'user1', NULL,                                   NULL,   '192.168.0.0/16', 'a',  NULL,   '',      300,  0,    0.5,   0,     0,     NULL,                         NULL,                            NULL,         NULL,       NULL,          '"x"'),
    ('a',  true,  1,    5,             0.5,  1.5,       '2024-01-01',              '{"a": {"b": "deep"}}', '\xff',     'GUEST',         'ab',   'abc',   NULL,                                   NULL,   '10.0.0.1',       'a',  '1010', '1',     1,    1,    1.1,   1.5,   1.5,   '2024-01-01',                 '2024-01-01+00',                 '2024-01-01', '12:30:15', '12:30:15+00', 'null');
INSERT INTO "Lists" (texts, flags, wholes, bigs, doubles, exacts, moments, documents, blobs, roles, uuids, citexts, inets, bits, smallints, reals, dates, times, instants) VALUES
    ('{a,b}', '{t,f}', '{1,2}', '{1}',  '{0.5}',     '{1.5,-2.25}', '{2024-01-01}',          '{"{\"a\":1}"}',   '{"\\x68656c6c6f"}', '{administrator}', '{00000000-0000-0000-0000-000000000001}', '{A}',    '{10.0.0.1,::1}', '{1010}',      '{1}',   '{1.1}',   '{2024-01-01}', '{12:30:15}', '{2024-01-01+00}'),
    ('{}',    '{}',    '{}',    '{}',   '{}',        '{}',          '{}',                    '{}',              '{}',                '{}',              '{}',                                     '{}',     '{}',             '{}',          '{}',    '{}',      '{}',           '{}',         '{}'),
    ('{a}',   '{t}',   '{3}',   '{-7}', '{0.5,1.5}', '{0}',         '{1969-05-05 01:02:03}', '{5,"\"str\""}',   '{"\\x"}',           '{MEMBER,GUEST}',  '{}',                                     '{x%,a}', '{}',             '{0000,1010}', '{300}', '{-2.25}', '{1969-05-05}', '{00:00}',    '{}');
INSERT INTO "Lists" DEFAULT VALUES;
INSERT INTO "Defaults" (cuid, uuid, uuid_native, nanoid, nanoid_8, now, updated, note) VALUES
    ('c1', 'a', '00000000-0000-0000-0000-000000000001', 'a', 'b', '2024-01-01', '2024-01-01', NULL), ('c2', 'b', '00000000-0000-0000-0000-000000000003', 'b', 'b', '2024-01-01', '2024-01-02', 'a');
INSERT INTO "Moment" VALUES ('2024-01-01', 'a'), ('2024-02-29 12:30:15.25', 'b'), ('1969-05-05 01:02:03', 'A');
