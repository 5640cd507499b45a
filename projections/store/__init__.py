"""The store: one database, its tables, its versions, and its errors."""
