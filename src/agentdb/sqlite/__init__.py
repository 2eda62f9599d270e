"""
What agents left in SQLite files, brought into the organization's database: what `agentdb import-sqlite` calls.

In reading order: `opening`, a file that is read and never touched; `tables`, what is in it; `kinds`, what a table can
be of; `recognition`, which kind a table is and which column means what; `mapping`, where a person says it; `values` and
`embeddings`, one cell; `cells`, the fields of a row; `made`, what they become; `rows`, one row; `survey`, one column;
`writing`, rows into the database and back for comparison; `reports`, what came of it; `importing`, all of it together.
"""

from agentdb.sqlite.importing import examine, import_file
from agentdb.sqlite.mapping import Mapping, TableMapping, load_mapping
from agentdb.sqlite.reports import Refusal, Report, TableReport

__all__ = ["Mapping", "Refusal", "Report", "TableMapping", "TableReport", "examine", "import_file", "load_mapping"]
