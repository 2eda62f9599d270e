async def test_x(db, statements, client_package):
    u = await db.user.create({"email":"a","posts":{"create":[{"title":"t"}]}}, include={"posts":True})
    print(u); print(statements)
    t = await db.types.create({})
    print(await db.defaults.create({}))
    print(await db.lists.create({}))
