"""`python before/work.py`: a day of the old agent, which leaves harbour.db."""

from __future__ import annotations

from base import EnhancedAgentBase


def main() -> None:
    agent = EnhancedAgentBase("harbour.db")
    agent.remember("The harbour freezes in January.", importance=9, topic="ice")
    agent.remember("Berth 3 is too shallow for tankers.", importance=7, topic="berths")
    agent.remember("Ines has the keys of the crane.")
    agent.used_tool("tide_table", {"day": "Monday"}, success=True, seconds=0.2)
    agent.used_tool("tide_table", {"day": "Someday"}, success=False, seconds=1.5)
    agent.finished({"type": "berth", "ship": "Aurora"}, "berth 5", "completed", 1200)
    agent.finished({"type": "berth", "ship": "Titan"}, None, "failed", 300)
    agent.learned("prompt", "Ask for the draught first.", confidence=0.8)
    with agent.db as db:
        db.execute("INSERT INTO glossary VALUES ('draught', 'How deep a ship lies in the water.', '2024-02-01')")
        db.execute("INSERT INTO settings VALUES ('language', 'en')")
        db.execute("INSERT INTO memories (content, created_at) VALUES ('The pilot is on leave.', 'last week')")
    agent.db.close()


main()
