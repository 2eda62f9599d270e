"""The partial types of the blog, for `prisma generate`."""

from prisma.models import Post, User

User.create_partial("Byline", include={"handle", "name"})
User.create_partial("PublicUser", exclude={"email", "settings"}, exclude_relational_fields=True)
Post.create_partial("Headline", include={"slug", "title", "views"})
