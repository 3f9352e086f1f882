-- State of the fake. Tables are its own; the views at the end are what people and tests may read.
CREATE TABLE IF NOT EXISTS counter(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS knob(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fault(id INTEGER PRIMARY KEY, rule TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS token(
  token TEXT PRIMARY KEY, kind TEXT NOT NULL, app TEXT NOT NULL, scopes TEXT NOT NULL, expires INTEGER, revoked INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS app(
  id TEXT PRIMARY KEY, client_id TEXT UNIQUE NOT NULL, client_secret TEXT NOT NULL, refresh_token TEXT NOT NULL, scopes TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object_type(id TEXT PRIMARY KEY, definition TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS property(
  object TEXT NOT NULL, name TEXT NOT NULL, definition TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY(object, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS property_group(
  object TEXT NOT NULL, name TEXT NOT NULL, label TEXT NOT NULL, PRIMARY KEY(object, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pipeline(
  object TEXT NOT NULL, id TEXT NOT NULL, place INTEGER NOT NULL, definition TEXT NOT NULL, PRIMARY KEY(object, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pipeline_audit(seq INTEGER PRIMARY KEY, object TEXT NOT NULL, id TEXT NOT NULL, at INTEGER NOT NULL, action TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS owner(id INTEGER PRIMARY KEY, definition TEXT NOT NULL, archived INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS currency(code TEXT PRIMARY KEY, rate TEXT NOT NULL, home INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rule(
  id INTEGER PRIMARY KEY, object TEXT NOT NULL, property TEXT NOT NULL, when_property TEXT, when_value TEXT
);
CREATE TABLE IF NOT EXISTS record(
  id INTEGER PRIMARY KEY, object TEXT NOT NULL, properties TEXT NOT NULL,
  created INTEGER NOT NULL, updated INTEGER NOT NULL, archived INTEGER
);
CREATE INDEX IF NOT EXISTS record_listed ON record(object, archived IS NOT NULL, id);
CREATE TABLE IF NOT EXISTS unique_value(
  object TEXT NOT NULL, property TEXT NOT NULL, value TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(object, property, value)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unique_value_of ON unique_value(id);
CREATE TABLE IF NOT EXISTS alias(object TEXT NOT NULL, old INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY(object, old)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS alias_of ON alias(id);
CREATE TABLE IF NOT EXISTS blocklist(email TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history(
  seq INTEGER PRIMARY KEY, id INTEGER NOT NULL, at INTEGER NOT NULL, source TEXT NOT NULL, source_id TEXT NOT NULL, changes TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS history_of ON history(id, seq);
-- What search sees. `entry_queue` holds what it does not see yet.
CREATE TABLE IF NOT EXISTS entry(
  id INTEGER PRIMARY KEY, object TEXT NOT NULL, properties TEXT, created INTEGER NOT NULL, updated INTEGER NOT NULL, seq INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS entry_listed ON entry(object, id) WHERE properties IS NOT NULL;
CREATE INDEX IF NOT EXISTS entry_modified ON entry(object, updated, id) WHERE properties IS NOT NULL;
CREATE TABLE IF NOT EXISTS entry_queue(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, visible INTEGER NOT NULL, id INTEGER NOT NULL, object TEXT NOT NULL, properties TEXT,
  created INTEGER NOT NULL, updated INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS entry_queue_visible ON entry_queue(visible);
CREATE TABLE IF NOT EXISTS association_type(
  category TEXT NOT NULL, id INTEGER NOT NULL, from_object TEXT NOT NULL, to_object TEXT NOT NULL, label TEXT,
  reverse INTEGER NOT NULL, role TEXT NOT NULL, PRIMARY KEY(category, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS association(
  from_id INTEGER NOT NULL, to_object TEXT NOT NULL, to_id INTEGER NOT NULL, category TEXT NOT NULL, type INTEGER NOT NULL,
  from_object TEXT NOT NULL, PRIMARY KEY(from_id, to_object, to_id, category, type)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS association_to ON association(to_id);
CREATE TABLE IF NOT EXISTS budget(day TEXT NOT NULL, what TEXT NOT NULL, used INTEGER NOT NULL, PRIMARY KEY(day, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS call(
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, method TEXT NOT NULL, route TEXT NOT NULL, path TEXT NOT NULL, object TEXT NOT NULL,
  app TEXT NOT NULL, status INTEGER NOT NULL, inputs INTEGER NOT NULL, properties TEXT NOT NULL, fault TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS subscription(id INTEGER PRIMARY KEY, app TEXT NOT NULL, definition TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal_event(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, app TEXT NOT NULL, event TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS journal_file(
  seq INTEGER PRIMARY KEY, app TEXT NOT NULL, offset TEXT UNIQUE NOT NULL, published INTEGER NOT NULL, events TEXT NOT NULL
);

CREATE VIEW IF NOT EXISTS object_types AS
  SELECT id, definition ->> 'name' AS name FROM object_type;
CREATE VIEW IF NOT EXISTS records AS
  SELECT r.id, t.name AS object, r.properties,
         strftime('%Y-%m-%dT%H:%M:%fZ', r.created / 1000.0, 'unixepoch') AS created_at,
         strftime('%Y-%m-%dT%H:%M:%fZ', r.updated / 1000.0, 'unixepoch') AS updated_at,
         r.archived IS NOT NULL AS archived,
         strftime('%Y-%m-%dT%H:%M:%fZ', r.archived / 1000.0, 'unixepoch') AS archived_at
  FROM record r JOIN object_types t ON t.id = r.object;
CREATE VIEW IF NOT EXISTS associations AS
  SELECT f.name AS from_object, a.from_id, t.name AS to_object, a.to_id, a.category, a.type, y.label
  FROM association a
  JOIN association_type y ON y.category = a.category AND y.id = a.type
  JOIN object_types f ON f.id = a.from_object JOIN object_types t ON t.id = a.to_object;
CREATE VIEW IF NOT EXISTS merged AS
  SELECT t.name AS object, a.old AS old_id, a.id FROM alias a JOIN object_types t ON t.id = a.object;
CREATE VIEW IF NOT EXISTS calls AS
  SELECT c.seq, strftime('%Y-%m-%dT%H:%M:%fZ', c.at / 1000.0, 'unixepoch') AS at, c.app, c.method, c.route, c.path,
         t.name AS object, c.status, c.inputs, c.properties, c.fault
  FROM call c LEFT JOIN object_types t ON t.id = c.object;
