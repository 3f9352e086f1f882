-- A service desk that holds the same eleven kinds otherwise: other names, types and keys, and references of three more forms:
-- tables of pairs of which one is the primary; a number that the desk gives itself (bills, todos); a list (appointments).
CREATE TABLE organisations (
    org_no serial PRIMARY KEY,
    label varchar(120) NOT NULL,
    site text,
    tel text,
    town text,
    country_code varchar(2),
    headcount integer,
    parent_no integer REFERENCES organisations
);
CREATE TABLE people (
    person_no serial PRIMARY KEY,
    mail varchar(160),
    given_name varchar(60),
    family_name varchar(60),
    tel text,
    role varchar(60)
);
CREATE UNIQUE INDEX people_mail ON people (lower(mail));
CREATE TABLE articles (
    article_no serial PRIMARY KEY,
    code varchar(40) UNIQUE,
    title varchar(120) NOT NULL,
    price numeric(10, 2),
    about text,
    on_sale boolean NOT NULL DEFAULT true
);
CREATE SEQUENCE opportunity_numbers START 1001;
CREATE TABLE opportunities (
    opp_no serial PRIMARY KEY,
    number text NOT NULL UNIQUE DEFAULT 'OPP-' || nextval('opportunity_numbers'),
    title varchar(120) NOT NULL,
    worth numeric(14, 2),
    currency varchar(3) NOT NULL DEFAULT 'EUR',
    phase integer NOT NULL DEFAULT 1 CHECK (phase BETWEEN 1 AND 5),
    closes date
);
CREATE TABLE bills (
    bill_no serial PRIMARY KEY,
    number varchar(30) NOT NULL,
    total numeric(14, 2) NOT NULL,
    currency varchar(3) NOT NULL DEFAULT 'EUR',
    issued date,
    due date,
    is_paid boolean NOT NULL DEFAULT false,
    opportunity text REFERENCES opportunities (number) ON UPDATE CASCADE
);
CREATE TABLE cases (
    case_no serial PRIMARY KEY,
    subject varchar(160) NOT NULL,
    description text,
    urgency integer NOT NULL DEFAULT 2 CHECK (urgency BETWEEN 1 AND 3),
    is_closed boolean NOT NULL DEFAULT false,
    opened timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE phone_calls (
    call_no serial PRIMARY KEY,
    subject varchar(160) NOT NULL,
    notes text,
    at timestamptz NOT NULL DEFAULT now(),
    minutes integer,
    direction text NOT NULL DEFAULT 'out' CHECK (direction IN ('in', 'out'))
);
CREATE TABLE mails (
    mail_no serial PRIMARY KEY, subject varchar(160) NOT NULL, body text, sent timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE todos (
    todo_no serial PRIMARY KEY,
    title varchar(160) NOT NULL,
    details text,
    due timestamptz,
    is_done boolean NOT NULL DEFAULT false,
    opportunity text REFERENCES opportunities (number) ON UPDATE CASCADE
);
CREATE TABLE memos (memo_no serial PRIMARY KEY, body text NOT NULL, written timestamptz NOT NULL DEFAULT now());
CREATE TABLE appointments (
    appointment_no serial PRIMARY KEY,
    title varchar(160) NOT NULL,
    agenda text,
    starts timestamptz NOT NULL,
    ends timestamptz,
    place text,
    attendees integer[] -- people; the first one has called it
);

-- Who belongs to what: any number of pairs, one of them the primary one.
CREATE TABLE person_organisations (
    person_no integer REFERENCES people ON DELETE CASCADE, org_no integer REFERENCES organisations,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (person_no, org_no)
);
CREATE UNIQUE INDEX ON person_organisations (person_no) WHERE is_primary;
CREATE TABLE opportunity_people (
    opp_no integer REFERENCES opportunities ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (opp_no, person_no)
);
CREATE TABLE opportunity_organisations (
    opp_no integer REFERENCES opportunities ON DELETE CASCADE, org_no integer REFERENCES organisations,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (opp_no, org_no)
);
CREATE TABLE bill_people (
    bill_no integer REFERENCES bills ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (bill_no, person_no)
);
CREATE TABLE case_people (
    case_no integer REFERENCES cases ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (case_no, person_no)
);
CREATE TABLE case_organisations (
    case_no integer REFERENCES cases ON DELETE CASCADE, org_no integer REFERENCES organisations,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (case_no, org_no)
);
CREATE TABLE call_people (
    call_no integer REFERENCES phone_calls ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (call_no, person_no)
);
CREATE TABLE mail_people (
    mail_no integer REFERENCES mails ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (mail_no, person_no)
);
CREATE TABLE todo_people (
    todo_no integer REFERENCES todos ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (todo_no, person_no)
);
CREATE TABLE memo_people (
    memo_no integer REFERENCES memos ON DELETE CASCADE, person_no integer REFERENCES people,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (memo_no, person_no)
);
CREATE TABLE memo_organisations (
    memo_no integer REFERENCES memos ON DELETE CASCADE, org_no integer REFERENCES organisations,
    is_primary boolean NOT NULL DEFAULT false, PRIMARY KEY (memo_no, org_no)
);
