"""A blog: people who write, tag, comment, follow each other, read feeds and search."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

from prisma.enums import Role, Status
from prisma.errors import ForeignKeyViolationError, RecordNotFoundError, UniqueViolationError
from prisma.fields import Base64, Json
from prisma.models import Comment, Post, User
from prisma.partials import Byline, Headline, PublicUser
from prisma.types import PostInclude, PostWhereInput

from prisma import Prisma

PAGE = 3
DAY_ONE = datetime(2024, 2, 28, 9, 30, tzinfo=UTC)

# A post with all that its page shows: three levels of the discussion, the oldest comment first.
PAGE_OF_POST: PostInclude = {
    "author": True,
    "tags": {"order_by": {"name": "asc"}},
    "comments": {
        "where": {"parentId": None},
        "order_by": {"createdAt": "asc"},
        "include": {
            "author": True,
            "replies": {
                "order_by": {"createdAt": "asc"},
                "include": {"author": True, "replies": {"include": {"author": True}}},
            },
        },
    },
}


class HandleTakenError(Exception):
    """Somebody else has this handle."""


# -- people -----------------------------------------------------------------------------------------------------------


async def sign_up(db: Prisma, handle: str, name: str | None = None, role: Role = Role.READER) -> User:
    """Make a user; the handle must be free."""
    try:
        return await db.user.create(
            data={"handle": handle, "email": f"{handle}@example.com", "name": name, "role": role},
        )
    except UniqueViolationError as error:
        taken = error.meta["target"]
        raise HandleTakenError(f"{handle} is taken ({', '.join(taken)})") from error


async def decorate(user: User, picture: bytes, **settings: object) -> User:
    """Give a user a picture and other settings; what was set before and is not named stays."""
    changed = await User.prisma().update(
        where={"id": user.id},
        data={"avatar": Base64.encode(picture), "settings": Json(cast(dict[str, Any], user.settings) | settings)},
    )
    assert changed is not None
    return changed


async def follow(db: Prisma, follower: User, *others: User) -> None:
    """Follow others, all or nobody; following twice changes nothing."""
    async with db.batch_() as batch:
        for other in others:
            batch.follow.upsert(
                where={"followerId_followedId": {"followerId": follower.id, "followedId": other.id}},
                data={"create": {"followerId": follower.id, "followedId": other.id}, "update": {}},
            )


# -- posts ------------------------------------------------------------------------------------------------------------


def slug_of(title: str) -> str:
    """Return the part of the address that stands for *title*."""
    return re.sub(r"\W+", "-", title.lower()).strip("-")


async def write(db: Prisma, author: User, title: str, body: str, *tags: str) -> Post:
    """Save a draft, with tags that may exist already."""
    return await db.post.create(
        data={
            "slug": slug_of(title),
            "title": title,
            "body": body,
            "author": {"connect": {"id": author.id}},
            "tags": {"connect_or_create": [{"where": {"name": tag}, "create": {"name": tag}} for tag in tags]},
        },
        include={"tags": {"order_by": {"name": "asc"}}},
    )


async def publish(db: Prisma, post: Post, at: datetime) -> Post:
    """Publish a draft once; an author becomes a writer by it."""
    async with db.tx(max_wait=timedelta(seconds=5), timeout=timedelta(seconds=10)) as tx:
        published = await tx.post.update_many(
            where={"id": post.id, "status": Status.DRAFT},
            data={"status": Status.PUBLISHED, "publishedAt": at},
        )
        if published == 0:
            raise ValueError(f"{post.slug} is no draft")
        await tx.user.update_many(
            where={"id": post.authorId, "role": Role.READER},
            data={"role": Role.WRITER},
        )
        return await tx.post.find_unique_or_raise(where={"id": post.id}, include={"author": True})


async def read(db: Prisma, slug: str) -> Post:
    """Return a post with its discussion, and count that it was read."""
    post = await db.post.update(
        where={"slug": slug},
        data={"views": {"increment": 1}},
        include=PAGE_OF_POST,
    )
    if post is None:
        raise LookupError(f"there is no post {slug}")
    return post


async def comment(db: Prisma, post: Post, author: User, text: str, parent: Comment | None = None) -> Comment:
    """Comment on a post, or reply to a comment."""
    return await db.comment.create(
        data={"text": text, "postId": post.id, "authorId": author.id, "parentId": parent.id if parent else None},
    )


# -- finding ----------------------------------------------------------------------------------------------------------


async def feed(db: Prisma, reader: User) -> list[list[str]]:
    """Return the titles of whom a reader follows, newest first, in pages."""
    where: PostWhereInput = {
        "status": Status.PUBLISHED,
        "author": {"is": {"followers": {"some": {"followerId": reader.id}}}},
    }
    pages: list[list[str]] = []
    posts = await db.post.find_many(where=where, order=[{"publishedAt": "desc"}, {"id": "desc"}], take=PAGE)
    while posts:
        pages.append([post.title for post in posts])
        posts = await db.post.find_many(
            where=where,
            order=[{"publishedAt": "desc"}, {"id": "desc"}],
            take=PAGE,
            skip=1,
            cursor={"id": posts[-1].id},
        )
    return pages


async def search(db: Prisma, words: str) -> list[str]:
    """Return the titles of published posts with all of these words, the most read first."""
    terms = " & ".join(words.split())
    posts = await db.post.find_many(
        where={
            "status": Status.PUBLISHED,
            "OR": [{"title": {"search": terms}}, {"body": {"search": terms}}],
        },
        order=[{"views": "desc"}, {"title": "asc"}],
    )
    return [post.title for post in posts]


async def headlines(tag: str) -> list[Headline]:
    """Return what the list of a tag shows of its posts, and nothing more."""
    return await Headline.prisma().find_many(
        where={"tags": {"some": {"name": {"equals": tag, "mode": "insensitive"}}}, "NOT": [{"status": Status.DRAFT}]},
        order={"slug": "asc"},
    )


async def busiest(db: Prisma) -> list[Byline]:
    """Return who wrote most, by SQL of our own."""
    return await db.query_raw(
        """
        SELECT u.handle, u.name FROM users u JOIN posts p ON p.author_id = u.id
        WHERE p.status = $1::"Status" GROUP BY u.id ORDER BY count(*) DESC, u.handle LIMIT $2
        """,
        Status.PUBLISHED.value,
        2,
        model=Byline,
    )


def outline(comments: list[Comment] | None, depth: int = 0) -> list[str]:
    """Draw a discussion, one line a comment."""
    lines: list[str] = []
    for each in comments or []:
        name = each.author.handle if each.author else "somebody"
        lines += [f"{'  ' * depth}{name}: {each.text}", *outline(each.replies, depth + 1)]
    return lines


# -- a day in the life ------------------------------------------------------------------------------------------------


async def main() -> None:
    """Fill the blog and print what its readers see."""
    db = Prisma(auto_register=True)
    await db.connect()
    try:
        await run(db)
    finally:
        await db.disconnect()


async def run(db: Prisma) -> None:
    """Do all that a blog is for."""
    ada = await sign_up(db, "ada", "Ada Lovelace")
    grace = await sign_up(db, "grace", "Grace Hopper", Role.EDITOR)
    zoe = await sign_up(db, "zoë", "Zoë 😀")
    print("signed up:", *[f"{user.handle}/{user.role}" for user in (ada, grace, zoe)])
    try:
        await sign_up(db, "ada")
    except HandleTakenError as error:
        print("refused:", error)

    ada = await decorate(ada, b"\x89PNG\x00\xff", theme="dark", size=12)
    print("settings:", ada.settings, ada.avatar.decode() if ada.avatar else None, ada.languages)
    print("touched:", ada.updatedAt > ada.createdAt, ada.createdAt.tzinfo is not None)

    notes = await write(db, ada, "Notes on the Engine", "It weaves algebraical patterns.", "engines", "mathematics")
    print("draft:", notes.slug, notes.status, [tag.name for tag in notes.tags or []])
    compilers = await write(db, grace, "On Compilers", "A compiler weaves programs of words.", "Engines", "words")
    for number in range(1, 6):
        post = await write(db, ada, f"Letter {number}", f"Dear reader, this is number {number}.", "letters", "words")
        if number < 5:
            await publish(db, post, DAY_ONE + timedelta(days=number))
    published = await publish(db, notes, DAY_ONE)
    await publish(db, compilers, datetime(2024, 3, 1, 20, 0, tzinfo=timezone(timedelta(hours=-5))))
    print("published:", published.publishedAt, "by", published.author and published.author.role)
    try:
        await publish(db, notes, DAY_ONE)
    except ValueError as error:
        print("refused:", error)

    await follow(db, zoe, ada, grace)
    await follow(db, zoe, ada)
    print("follows:", await db.follow.count(where={"followerId": zoe.id}))
    try:
        await follow(db, zoe, grace, User.model_construct(id="nobody"))
    except ForeignKeyViolationError as error:
        print("refused:", "Foreign key constraint failed" in str(error), await db.follow.count())
    for page in await feed(db, zoe):
        print("feed:", page)

    first = await comment(db, notes, zoe, "Wonderful! 🎉")
    reply = await comment(db, notes, ada, 'Thank you; it\'s "only" a note.', first)
    await comment(db, notes, grace, "Only?", reply)
    await comment(db, notes, grace, "I found a moth in it.")
    for _ in range(2):
        await read(db, "notes-on-the-engine")
    post = await read(db, notes.slug)
    print("read:", post.title, post.views, [tag.name for tag in post.tags or []])
    print("\n".join(outline(post.comments, 1)))

    print("search:", await search(db, "weaves"), await search(db, "reader number"))
    print("engines:", [(line.slug, line.views) for line in await headlines("ENGINES")])
    print("busiest:", [f"{byline.name} ({byline.handle})" for byline in await busiest(db)])
    print("public:", sorted((await PublicUser.prisma().find_first_or_raise(where={"handle": "ada"})).model_dump()))

    tags = await db.tag.find_many(where={"posts": {"none": {"status": Status.PUBLISHED}}})
    print("unused tags:", [tag.name for tag in tags])
    by_status = await db.post.group_by(["status"], count=True, sum={"views": True}, order={"status": "asc"})
    print("report:", [(row["status"], row["_count"]["_all"], row["_sum"]["views"]) for row in by_status])

    try:
        await db.user.delete(where={"id": ada.id})
    except ForeignKeyViolationError as error:
        print("refused:", error)
    async with db.tx() as tx:
        await Post.prisma(tx).delete_many(where={"authorId": ada.id})
        gone = await User.prisma(tx).delete(where={"handle": "ada"})
        print("left:", gone and gone.name, await tx.comment.count(), await db.comment.count())
    print("remain:", await db.user.count(), await db.post.count(), await db.comment.count(), await db.follow.count())
    try:
        await db.post.find_unique_or_raise(where={"slug": notes.slug})
    except RecordNotFoundError as error:
        print("missing:", error.code, "required but not found" in str(error))
    print("deleted twice:", await db.user.delete(where={"id": ada.id}))


if __name__ == "__main__":
    asyncio.run(main())
