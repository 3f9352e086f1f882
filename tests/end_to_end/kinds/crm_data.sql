-- What the CRM holds: a group with its subsidiaries, their people, and what has been going on with them.
INSERT INTO companies (name, domain, phone, city, country, employees) VALUES
    ('Northwind Group', 'northwind.example', '+41 31 555 01 00', 'Bern', 'CH', 420),
    ('Northwind Logistics', 'logistics.northwind.example', '+41 31 555 01 20', 'Bern', 'CH', 130),
    ('Northwind Retail', 'retail.northwind.example', NULL, 'Basel', 'CH', 210),
    ('Alder & Finch', 'alderfinch.example', '+44 20 5550 0110', 'London', 'GB', 35),
    ('Bluewater Marine', 'bluewater.example', '+351 21 555 0130', 'Lisboa', 'PT', 88),
    ('Cobalt Optics', 'cobalt-optics.example', '+49 30 5550140', 'Berlin', 'DE', 61),
    ('Dune Energy', 'dune.example', '+34 91 555 01 50', 'Madrid', 'ES', 1500),
    ('Ember Foods', NULL, NULL, 'Lyon', 'FR', 12);
UPDATE companies SET parent_id = 1 WHERE name IN ('Northwind Logistics', 'Northwind Retail');

INSERT INTO contacts (email, first_name, last_name, phone, job_title, company_id)
SELECT lower(first) || '.' || lower(last) || '@' || coalesce(domain, 'ember.example'), first, last,
       CASE WHEN n % 3 <> 0 THEN '+41 79 555 ' || to_char(n, 'FM00') || ' 00' END,
       (ARRAY['Buyer', 'Managing director', 'Engineer', 'Accountant'])[1 + n % 4], c.id
FROM (VALUES (1, 'Ada', 'Moser'), (2, 'Ben', 'Keller'), (3, 'Cleo', 'Roth'), (4, 'Dina', 'Frei'), (5, 'Emil', 'Graf'),
             (6, 'Fay', 'Hunt'), (7, 'Gus', 'Ferreira'), (8, 'Hana', 'Costa'), (9, 'Ivo', 'Brandt'), (10, 'Jana', 'Vogel'),
             (11, 'Kai', 'Navarro'), (12, 'Lea', 'Ortega'), (13, 'Max', 'Dubois'), (14, 'Nora', 'Petit')) p(n, first, last)
JOIN companies c ON c.id = 1 + (n - 1) % 8 ORDER BY n;
INSERT INTO contacts (email, first_name, last_name, job_title, company_id) VALUES
    (NULL, 'Otto', 'Unknown', 'Visitor', 4); -- no email: stays out of a sync of contacts

INSERT INTO products (sku, name, price, description) VALUES
    ('LENS-50', 'Lens 50 mm', 249.00, 'Fixed focal length'),
    ('LENS-85', 'Lens 85 mm', 499.00, NULL),
    ('TRIPOD-A', 'Tripod Alpha', 129.90, 'Carbon'),
    (NULL, 'Workshop, one day', 850.00, 'On site'),
    ('CASE-S', 'Carrying case S', 39.50, NULL);

INSERT INTO deals (title, amount, stage, close_date, contact_id, company_id)
SELECT 'Order ' || c.last_name || ' ' || n, 1000 + 250.5 * n, (ARRAY['new', 'qualified', 'proposal', 'won', 'lost']::deal_stage[])[1 + n % 5],
       date '2026-12-01' + n, c.id, c.company_id
FROM generate_series(1, 10) n JOIN contacts c ON c.id = n ORDER BY n;

INSERT INTO invoices (number, amount, issued_on, due_on, paid, contact_id, deal_id)
SELECT 'R-2026-' || to_char(n, 'FM000'), 1000 + 250.5 * n, date '2026-11-01' + n, date '2026-12-01' + n, n % 2 = 0, d.contact_id, d.id
FROM generate_series(1, 8) n JOIN deals d ON d.id = n ORDER BY n;

INSERT INTO tickets (subject, description, priority, contact_id, company_id)
SELECT (ARRAY['Delivery is late', 'Lens is scratched', 'Wrong address', 'Cannot log in'])[1 + n % 4] || ' #' || n,
       CASE WHEN n % 2 = 0 THEN 'Reported by phone' END, (ARRAY['low', 'medium', 'high']::priority[])[1 + n % 3], c.id, c.company_id
FROM generate_series(1, 6) n JOIN contacts c ON c.id = n + 3 ORDER BY n;

INSERT INTO calls (subject, notes, called_at, minutes, direction, contact_id)
SELECT 'Call ' || n, 'Spoke about order ' || n, timestamptz '2026-11-10 09:00Z' + n * interval '1 day', 5 * n,
       (ARRAY['inbound', 'outbound']::call_direction[])[1 + n % 2], n
FROM generate_series(1, 5) n;
INSERT INTO emails (subject, body, sent_at, contact_id)
SELECT 'Offer ' || n, 'Please find our offer attached.', timestamptz '2026-11-11 10:00Z' + n * interval '1 hour', n FROM generate_series(1, 5) n;
INSERT INTO tasks (title, details, due_at, done, contact_id, deal_id)
SELECT 'Follow up ' || n, NULL, timestamptz '2026-11-30 16:00Z' + n * interval '1 day', n = 1, n, n FROM generate_series(1, 5) n;
INSERT INTO notes (body, written_at, contact_id, company_id)
SELECT 'Prefers to be called in the morning (' || n || ')', timestamptz '2026-11-12 08:30Z' + n * interval '1 day', n, 1 + (n - 1) % 8
FROM generate_series(1, 5) n;
INSERT INTO meetings (title, agenda, starts_at, ends_at, place, contact_id)
SELECT 'Review ' || n, 'Numbers; next steps', timestamptz '2026-12-03 13:00Z' + n * interval '1 day',
       timestamptz '2026-12-03 14:00Z' + n * interval '1 day', 'Bern', n
FROM generate_series(1, 5) n;
