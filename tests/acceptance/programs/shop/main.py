"""A shop: products in many categories, orders that never oversell, prices that nobody overwrites unseen."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, cast

from prisma.bases import BaseProduct
from prisma.enums import OrderStatus
from prisma.errors import DataError, ForeignKeyViolationError, UniqueViolationError
from prisma.fields import Json
from prisma.models import Category, Customer, Order, Product
from prisma.types import CategoryInclude, OrderInclude, OrderUpdateInput, ProductWhereInput

from prisma import Prisma

Cart = dict[str, int]

ORDER: OrderInclude = {"lines": {"order_by": {"sku": "asc"}, "include": {"product": True}}, "customer": True}
SUBTREE: CategoryInclude = {
    "products": {"where": {"stock": {"gt": 0}}, "order_by": {"price": "desc"}, "take": 2},
    "children": {
        "order_by": {"name": "asc"},
        "include": {"products": {"where": {"stock": {"gt": 0}}, "order_by": {"price": "desc"}, "take": 2}},
    },
}


class PriceTag(BaseProduct):
    """What is printed on a product's label."""

    sku: str
    price: Decimal


class SoldOutError(Exception):
    """There is not enough of a product."""


class StaleError(Exception):
    """Somebody else changed the product in the meantime."""


# -- the range --------------------------------------------------------------------------------------------------------


async def add_category(db: Prisma, name: str, parent: Category | None = None) -> Category:
    """Make a category, at the top or below another."""
    return await db.category.create(data={"name": name, "parentId": parent.id if parent else None})


async def stock_up(db: Prisma, sku: str, name: str, price: str, stock: int, *categories: Category) -> Product:
    """Add to the stock of a product, which is new or gets this name, price and these categories."""
    return await db.product.upsert(
        where={"sku": sku},
        data={
            "create": {
                "sku": sku,
                "name": name,
                "price": Decimal(price),
                "stock": stock,
                "sizes": ["S", "M"],
                "categories": {"connect": [{"id": category.id} for category in categories]},
            },
            "update": {
                "name": name,
                "price": Decimal(price),
                "stock": {"increment": stock},
                "version": {"increment": 1},
                "sizes": {"push": ["XL"]},
                "categories": {"set": [{"id": category.id} for category in categories]},
            },
        },
        include={"categories": {"order_by": {"name": "asc"}}},
    )


async def reprice(db: Prisma, seen: Product, factor: Decimal) -> Product:
    """Change a price as it was seen; refuse when the product is no longer as it was."""
    price = (seen.price * factor).quantize(Decimal("0.01"))
    changed = await db.product.update_many(
        where={"sku": seen.sku, "version": seen.version},
        data={"price": price, "version": {"increment": 1}},
    )
    if not changed:
        raise StaleError(f"{seen.sku} is no longer at version {seen.version}")
    return await db.product.find_unique_or_raise(where={"sku": seen.sku})


async def browse(db: Prisma, where: ProductWhereInput) -> list[str]:
    """Return the SKUs of products that fulfil a condition."""
    return [product.sku for product in await db.product.find_many(where=where, order={"sku": "asc"})]


# -- orders -----------------------------------------------------------------------------------------------------------


async def check_out(db: Prisma, customer: Customer, cart: Cart, now: datetime) -> Order:
    """Place an order: all of the cart or nothing, and never more than there is."""
    async with db.tx(max_wait=timedelta(seconds=10), timeout=timedelta(seconds=20)) as tx:
        # In one order, or two carts with the same products would wait for each other.
        for sku, quantity in sorted(cart.items()):
            taken = await tx.product.update_many(
                where={"sku": sku, "stock": {"gte": quantity}},
                data={"stock": {"decrement": quantity}},
            )
            if not taken:
                raise SoldOutError(sku)
        tags = await PriceTag.prisma(tx).find_many(where={"sku": {"in": list(cart)}})
        prices = {tag.sku: tag.price for tag in tags}
        total = sum((prices[sku] * quantity for sku, quantity in cart.items()), Decimal())
        return await tx.order.create(
            data={
                "customer": {"connect": {"id": customer.id}},
                "total": total,
                "placedAt": now,
                "dueOn": now + timedelta(days=14),
                "lines": {
                    "create": [
                        {"sku": sku, "quantity": quantity, "unitPrice": prices[sku]} for sku, quantity in cart.items()
                    ]
                },
            },
            include=ORDER,
        )


async def pay(db: Prisma, order: Order) -> Order:
    """Take an order's total from its customer's credit, both or nothing."""
    async with db.tx() as tx:
        # The generated types know atomic operations of Int and Float only.
        less = cast(Any, {"decrement": order.total})
        customer = await tx.customer.update(where={"id": order.customerId}, data={"credit": less})
        if customer is None or customer.credit < 0:
            raise ValueError(f"not enough credit for {order.total}")
        paid = await tx.order.update(where={"id": order.id}, data={"status": OrderStatus.PAID}, include=ORDER)
        assert paid is not None
        return paid


async def cancel(db: Prisma, order: Order) -> None:
    """Take an order back: its products return to the shelves."""
    async with db.batch_() as batch:
        for line in order.lines or []:
            batch.product.update(where={"sku": line.sku}, data={"stock": {"increment": line.quantity}})
        batch.orderline.delete_many(where={"orderId": order.id})
        batch.order.update(where={"id": order.id}, data={"status": OrderStatus.CANCELLED, "total": Decimal(0)})


def receipt(order: Order) -> str:
    """Return what is printed of an order."""
    lines = [f"{line.quantity} x {line.product and line.product.name} à {line.unitPrice}" for line in order.lines or []]
    return f"{order.status}: {', '.join(lines)} = {order.total}"


async def revenue(db: Prisma) -> list[str]:
    """Return what each product sold for, those that sold more than once."""
    groups = await db.orderline.group_by(
        ["sku"],
        count=True,
        sum={"quantity": True},
        having={"quantity": {"_sum": {"gt": 1}}},
        order={"sku": "desc"},
    )
    return [f"{group['sku']}: {group['_count']['_all']} orders, {group['_sum']['quantity']} pieces" for group in groups]


# -- a day in the life ------------------------------------------------------------------------------------------------


async def main() -> None:
    """Open the shop, let everybody in at once, and print what was sold."""
    async with Prisma(auto_register=True) as db:
        await run(db)


async def run(db: Prisma) -> None:
    """Do all that a shop is for."""
    clothes = await add_category(db, "Clothes")
    shirts = await add_category(db, "Shirts", clothes)
    sale = await add_category(db, "Sale")
    try:
        await add_category(db, "Shirts", clothes)
    except UniqueViolationError as error:
        print("refused:", error.code, error.meta["target"])

    for sku, name, price, stock, categories in [
        ("SHIRT1", "Plain shirt", "19.99", 5, [shirts, sale]),
        ("SHIRT2", "Striped shirt", "24.50", 40, [shirts]),
        ("SOCKS1", "Wool socks", "0.10", 1000, [clothes, sale]),
        ("HAT001", "Top hat", "1249.00", 1, [clothes]),
    ]:
        await stock_up(db, sku, name, price, stock, *categories)
    again = await stock_up(db, "SHIRT2", "Striped shirt", "25.00", 2, shirts, sale)
    print("range:", again.stock, again.price, again.version, again.sizes, [c.name for c in again.categories or []])
    await db.product.update(
        where={"sku": "HAT001"},
        data={
            "related": {"connect": [{"sku": "SOCKS1"}, {"sku": "SHIRT1"}]},
            "details": Json({"brim": {"cm": 7.5}, "colours": ["black", "grey"], "for": None}),
            "weight": 0.35,
        },
    )
    hat = await db.product.find_unique_or_raise(where={"sku": "HAT001"}, include={"related": True, "relatedTo": True})
    print("hat:", sorted(each.sku for each in hat.related or []), hat.relatedTo, hat.weight, hat.details)

    tree = await db.category.find_many(where={"parentId": None}, include=SUBTREE, order={"name": "asc"})
    for top in tree:
        print("shelf:", top.name, [product.sku for product in top.products or []])
        for below in top.children or []:
            print("shelf:", top.name, "/", below.name, [product.sku for product in below.products or []])
    bargain: ProductWhereInput = {
        "OR": [{"price": {"lt": Decimal("0.5")}}, {"categories": {"some": {"name": "Sale"}}}],
    }
    print("bargains:", await browse(db, bargain))
    print("only shirts:", await browse(db, {"categories": {"every": {"parentId": clothes.id}}, "sizes": {"has": "XL"}}))
    print("not on sale:", await browse(db, {"categories": {"none": {"id": sale.id}}, "details": {"not": Json({})}}))

    seen = await db.product.find_unique_or_raise(where={"sku": "SHIRT1"})
    print("repriced:", (await reprice(db, seen, Decimal("0.9"))).price)
    try:
        await reprice(db, seen, Decimal("1.1"))
    except StaleError as error:
        print("refused:", error)

    now = datetime(2024, 2, 28, 22, 15, 0, 123456, tzinfo=timezone(timedelta(hours=-3)))
    customers = await asyncio.gather(
        *[
            db.customer.create(
                data={
                    "email": f"customer{number}@example.com",
                    "credit": Decimal("100.00"),
                    "address": {"create": {"street": f"Rue de l'Été {number}", "city": "Genève", "country": "CH"}},
                },
                include={"address": True},
            )
            for number in range(12)
        ]
    )
    carts: list[Cart] = [{"SOCKS1": 3, "SHIRT1": 1} for _ in customers]
    outcomes = await asyncio.gather(
        *[check_out(db, customer, cart, now) for customer, cart in zip(customers, carts, strict=True)],
        return_exceptions=True,
    )
    orders = [outcome for outcome in outcomes if isinstance(outcome, Order)]
    print("sold:", len(orders), "turned away:", sum(isinstance(outcome, SoldOutError) for outcome in outcomes))
    left = await db.product.find_many(where={"sku": {"in": ["SHIRT1", "SOCKS1"]}}, order={"sku": "asc"})
    print("left:", [(product.sku, product.stock) for product in left])
    order = orders[0]
    print("receipt:", receipt(order), order.placedAt, order.dueOn and order.dueOn.date(), order.reference[:2])

    paid = await pay(db, order)
    print("paid:", paid.status, paid.customer and paid.customer.credit)
    rich = await check_out(db, customers[-1], {"HAT001": 1}, now)
    try:
        await pay(db, rich)
    except ValueError as error:
        print("refused:", error, (await db.customer.find_unique_or_raise(where={"id": rich.customerId})).credit)
    await cancel(db, rich)
    hat = await db.product.find_unique_or_raise(where={"sku": "HAT001"}, include={"lines": True})
    print("cancelled:", hat.stock, hat.lines)

    print("revenue:", await revenue(db))
    totals = await db.order.group_by(["status"], count=True, order={"status": "asc"})
    print("orders:", {row["status"]: row["_count"]["_all"] for row in totals})
    total = await db.query_first("SELECT sum(total)::text AS total, min(due_on) AS due FROM orders WHERE total > 0")
    print("turnover:", total)
    per_day = await db.query_raw(
        "SELECT date_trunc('day', placed_at AT TIME ZONE 'UTC') AS day, count(*) AS orders FROM orders"
        " WHERE placed_at >= $1::timestamptz GROUP BY 1 ORDER BY 1",
        now - timedelta(days=1),
    )
    print("per day:", per_day)
    await refusals(db, order)


async def refusals(db: Prisma, order: Order) -> None:
    """Print what the shop does not do."""
    await db.customer.create(data={"email": "rival@example.com"})
    for attempt in (
        db.product.delete(where={"sku": "SHIRT1"}),
        db.category.delete(where={"id": 1}),
        db.customer.delete(where={"id": order.customerId}),
    ):
        try:
            await attempt
        except ForeignKeyViolationError as error:
            print("refused:", error.code, error.meta["field_name"])
    for broken in (
        db.product.create(data={"sku": "TOOLONG", "name": "x", "price": Decimal(1)}),
        db.product.update(where={"sku": "HAT001"}, data={"stock": 3_000_000_000}),
        db.product.update(where={"sku": "HAT001"}, data={"price": Decimal("1e12")}),
        db.customer.find_unique(where={"id": "no uuid"}),
        db.customer.update(where={"id": order.customerId}, data={"email": "rival@example.com"}),
    ):
        try:
            print("accepted:", await broken)
        except DataError as error:
            print("refused:", type(error).__name__, error.code)
    nobody: OrderUpdateInput = {"customer": {"connect": {"email": "nobody@example.com"}}}
    print("nobody to send it to:", await db.order.update(where={"id": order.id}, data=nobody))


if __name__ == "__main__":
    asyncio.run(main())
