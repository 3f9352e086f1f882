-- What the desk holds: some of the CRM's companies, people and products under its own names, and things of its own.
INSERT INTO organisations (label, site, town, country_code) VALUES
    ('Northwind', 'https://www.northwind.example/about', NULL, 'CH'), -- the CRM's group, by its domain
    ('Ember Foods', NULL, 'Villeurbanne', 'FR'), -- by its name
    ('Flint Tools', 'flint.example', 'Graz', 'AT');
INSERT INTO people (mail, given_name, family_name, role) VALUES
    ('ADA.MOSER@northwind.example', 'Ada', 'Moser', NULL), -- the CRM's, in capitals
    ('pia.stone@flint.example', 'Pia', 'Stone', 'Owner'),
    ('quin.hale@flint.example', 'Quin', 'Hale', NULL);
INSERT INTO person_organisations VALUES (1, 1, true), (1, 3, false), (2, 3, true), (2, 1, false), (3, 3, false); -- Quin has no primary one
INSERT INTO articles (code, title, price) VALUES
    ('LENS-50', 'Lens 50mm', 249.00), (NULL, 'workshop,  ONE day', 850.00), ('HAMMER', 'Hammer', 19.00);
INSERT INTO opportunities (title, worth, phase) VALUES ('Order Moser 1', 1250.50, 1), ('Tools for Graz', 700, 2); -- the first looks like one of the CRM's
INSERT INTO opportunity_people VALUES (2, 2, true), (2, 3, false);
INSERT INTO opportunity_organisations VALUES (2, 3, true);
INSERT INTO bills (number, total, opportunity) VALUES ('F-1', 700, 'OPP-1002');
INSERT INTO bill_people VALUES (1, 2, true);
INSERT INTO cases (subject, urgency) VALUES ('Hammer is blunt', 3);
INSERT INTO case_people VALUES (1, 2, false), (1, 3, true);
INSERT INTO case_organisations VALUES (1, 3, true);
INSERT INTO phone_calls (subject, direction, minutes) VALUES ('About Graz', 'in', 4);
INSERT INTO call_people VALUES (1, 2, true);
INSERT INTO mails (subject, body) VALUES ('Your hammer', 'It is on its way.');
INSERT INTO mail_people VALUES (1, 2, true), (1, 3, false);
INSERT INTO todos (title, opportunity) VALUES ('Sharpen', 'OPP-1002');
INSERT INTO todo_people VALUES (1, 3, true);
INSERT INTO memos (body) VALUES ('Flint moves to Linz in spring');
INSERT INTO memo_people VALUES (1, 2, true);
INSERT INTO memo_organisations VALUES (1, 3, true);
INSERT INTO appointments (title, starts, attendees) VALUES ('Visit in Graz', '2026-12-10 09:00Z', '{2,1}');
