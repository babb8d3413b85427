/* The forms of the database. */
#include "store/migrations.h"

const struct store_migration store_migrations[] = {
	{"flows, issues, pull requests, runs",
	 /* src/flow: where each workflow stands, its visits of steps, and what it was told. */
	 "CREATE TABLE flow ("
	 " id TEXT PRIMARY KEY, name TEXT NOT NULL, step TEXT NOT NULL,"
	 " status TEXT NOT NULL CHECK (status IN ('ready', 'waiting', 'done', 'failed', 'stopped')),"
	 " ending TEXT CHECK (ending IN ('failed', 'stopped')), tries INTEGER NOT NULL DEFAULT 0,"
	 " wake_ms INTEGER NOT NULL DEFAULT 0, since_ms INTEGER NOT NULL, error TEXT) STRICT;"
	 "CREATE INDEX flow_due ON flow (name, status, wake_ms);"
	 "CREATE TABLE flow_visit ("
	 " flow TEXT NOT NULL REFERENCES flow (id), seq INTEGER NOT NULL, step TEXT NOT NULL, visit INTEGER NOT NULL,"
	 " status TEXT NOT NULL CHECK (status IN ('running', 'waiting', 'done', 'failed')),"
	 " started_ms INTEGER NOT NULL, ended_ms INTEGER, detail TEXT, PRIMARY KEY (flow, seq)) STRICT;"
	 "CREATE TABLE flow_signal ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, flow TEXT NOT NULL REFERENCES flow (id), kind TEXT NOT NULL,"
	 " data TEXT NOT NULL, time_ms INTEGER NOT NULL, taken INTEGER NOT NULL DEFAULT 0) STRICT;"
	 "CREATE INDEX flow_signal_waiting ON flow_signal (flow, seq) WHERE taken = 0;"

	 /* src/trackers/builtin */
	 "CREATE TABLE issue ("
	 " number INTEGER PRIMARY KEY AUTOINCREMENT, repository TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL,"
	 " state TEXT NOT NULL CHECK (state IN ('open', 'working', 'review', 'done', 'closed')), created_ms INTEGER NOT NULL,"
	 " run TEXT, pull INTEGER) STRICT;"
	 "CREATE TABLE issue_comment ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, issue INTEGER NOT NULL REFERENCES issue (number), operation TEXT UNIQUE,"
	 " author TEXT NOT NULL, text TEXT NOT NULL, time_ms INTEGER NOT NULL) STRICT;"
	 "CREATE INDEX issue_comment_of ON issue_comment (issue, seq);"

	 /* src/forges/builtin; `merging` is the merge commit that is about to become the branch */
	 "CREATE TABLE pull ("
	 " number INTEGER PRIMARY KEY AUTOINCREMENT, repository TEXT NOT NULL, branch TEXT NOT NULL, target TEXT NOT NULL,"
	 " title TEXT NOT NULL, body TEXT NOT NULL, draft INTEGER NOT NULL,"
	 " state TEXT NOT NULL CHECK (state IN ('open', 'merged', 'closed')), base TEXT NOT NULL, head TEXT NOT NULL,"
	 " run TEXT, issue INTEGER, verdict TEXT, environment TEXT, preview TEXT, created_ms INTEGER NOT NULL,"
	 " merging TEXT, merged TEXT) STRICT;"
	 "CREATE UNIQUE INDEX pull_open ON pull (repository, branch) WHERE state = 'open';"
	 "CREATE TABLE pull_review ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, pull INTEGER NOT NULL REFERENCES pull (number), operation TEXT UNIQUE,"
	 " author TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('approve', 'changes', 'comment')), text TEXT NOT NULL,"
	 " time_ms INTEGER NOT NULL) STRICT;"
	 "CREATE INDEX pull_review_of ON pull_review (pull, seq);"

	 /* src/runs */
	 "CREATE TABLE run ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE REFERENCES flow (id), repository TEXT NOT NULL,"
	 " issue INTEGER NOT NULL, title TEXT NOT NULL, state TEXT NOT NULL, state_since_ms INTEGER NOT NULL,"
	 " base_wanted TEXT NOT NULL, base TEXT, head TEXT, branch TEXT, environment TEXT, pull INTEGER, preview TEXT,"
	 " verdict TEXT, agent TEXT NOT NULL, agent_config TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 1,"
	 " attempts INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL, ended_ms INTEGER, error TEXT,"
	 /* the turn: why it happens, what the agent is told, and whether it is to be done (1) or only to be exported (2) */
	 " turn INTEGER NOT NULL DEFAULT 0, reason TEXT NOT NULL DEFAULT 'issue', prompt TEXT,"
	 " pending INTEGER NOT NULL DEFAULT 0, history TEXT NOT NULL DEFAULT '', session TEXT, summary TEXT,"
	 " unchanged INTEGER NOT NULL DEFAULT 0, blocking TEXT NOT NULL DEFAULT '',"
	 /* what has been reached: the head that was judged and the one that was published */
	 " report TEXT, judged TEXT, published TEXT, outcome TEXT,"
	 " plan TEXT NOT NULL DEFAULT '[]', input_tokens INTEGER NOT NULL DEFAULT 0, output_tokens INTEGER NOT NULL DEFAULT 0,"
	 " cost_usd REAL NOT NULL DEFAULT 0, session_cost_usd REAL NOT NULL DEFAULT 0, turns INTEGER NOT NULL DEFAULT 0,"
	 " agent_ms INTEGER NOT NULL DEFAULT 0) STRICT;"
	 "CREATE INDEX run_environment ON run (environment);"
	 "CREATE INDEX run_issue ON run (issue);"
	 "CREATE TABLE run_event ("
	 " run TEXT NOT NULL, seq INTEGER NOT NULL, time_ms INTEGER NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL,"
	 " PRIMARY KEY (run, seq)) STRICT, WITHOUT ROWID;"
	 "CREATE TABLE record ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, repository TEXT NOT NULL, run TEXT NOT NULL, head TEXT NOT NULL,"
	 " attempt INTEGER NOT NULL, digest TEXT NOT NULL, envelope TEXT NOT NULL, time_ms INTEGER NOT NULL,"
	 " UNIQUE (run, head, attempt)) STRICT;"
	 "CREATE INDEX record_of ON record (repository, seq);"
	 "CREATE TABLE change ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER NOT NULL, kind TEXT NOT NULL, data TEXT NOT NULL) STRICT;"},
	{"what an agent's session has used", "ALTER TABLE run ADD COLUMN session_input_tokens INTEGER NOT NULL DEFAULT 0;"
					     "ALTER TABLE run ADD COLUMN session_output_tokens INTEGER NOT NULL DEFAULT 0;"},
	{"the ledger's index, which has a database of its own",
	 "CREATE TABLE ledger_row ("
	 " id INTEGER PRIMARY KEY, writer TEXT NOT NULL, segment INTEGER NOT NULL, place INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
	 " kind TEXT NOT NULL, request INTEGER NOT NULL, env TEXT, run TEXT, host TEXT, rule TEXT) STRICT;"
	 "CREATE INDEX ledger_row_time ON ledger_row (time_ms);"
	 "CREATE INDEX ledger_row_request ON ledger_row (request);"
	 "CREATE INDEX ledger_row_env ON ledger_row (env, id);"
	 "CREATE INDEX ledger_row_run ON ledger_row (run, id);"
	 "CREATE INDEX ledger_row_host ON ledger_row (host, id);"
	 "CREATE INDEX ledger_row_rule ON ledger_row (rule, id);"
	 "CREATE TABLE ledger_read (writer TEXT PRIMARY KEY, segment INTEGER NOT NULL, place INTEGER NOT NULL) STRICT;"
	 /* heads, where no writer of a ledger reaches them: the last one of each */
	 "CREATE TABLE ledger_witness (writer TEXT PRIMARY KEY, segment INTEGER NOT NULL, sequence INTEGER NOT NULL,"
	 " head TEXT NOT NULL) STRICT;"},
	{"leases", "CREATE TABLE lease (name TEXT PRIMARY KEY, owner TEXT NOT NULL, token INTEGER NOT NULL,"
		   " until_ms INTEGER NOT NULL) STRICT;"},
	{"who may call the API",
	 "CREATE TABLE token ("
	 " name TEXT PRIMARY KEY, role TEXT NOT NULL CHECK (role IN ('viewer', 'developer', 'approver', 'admin')),"
	 " digest TEXT NOT NULL UNIQUE, created_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL, used_ms INTEGER) STRICT, WITHOUT ROWID;"},
	{"what agents ask people",
	 "CREATE TABLE question ("
	 " id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, text TEXT NOT NULL, asked_ms INTEGER NOT NULL,"
	 " deadline_ms INTEGER NOT NULL, heard_ms INTEGER NOT NULL, answer TEXT, answered_by TEXT, answered_ms INTEGER) STRICT;"
	 "CREATE INDEX question_of ON question (run, id);"},
	{"candidates", "ALTER TABLE run ADD COLUMN race TEXT;"
		       "ALTER TABLE run ADD COLUMN race_winner TEXT;"
		       "CREATE INDEX run_race ON run (race);"},
	{"workflows are their events",
	 /* `flow` is an index over these: where the events up to `version` lead */
	 "CREATE TABLE flow_event ("
	 " flow TEXT NOT NULL REFERENCES flow (id), seq INTEGER NOT NULL, time_ms INTEGER NOT NULL, kind TEXT NOT NULL,"
	 " step TEXT NOT NULL, next TEXT, number INTEGER NOT NULL DEFAULT 0, text TEXT, PRIMARY KEY (flow, seq)) STRICT, WITHOUT ROWID;"
	 "ALTER TABLE flow ADD COLUMN version INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE flow ADD COLUMN visit INTEGER NOT NULL DEFAULT 0;"
	 /* who is on it: a control plane and the token of its lease */
	 "ALTER TABLE flow ADD COLUMN owner TEXT;"
	 "ALTER TABLE flow ADD COLUMN fence INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE flow ADD COLUMN home TEXT NOT NULL DEFAULT '';"
	 /* its place in line */
	 "ALTER TABLE flow ADD COLUMN tenant TEXT NOT NULL DEFAULT '';"
	 "ALTER TABLE flow ADD COLUMN repository TEXT NOT NULL DEFAULT '';"
	 "ALTER TABLE flow ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE flow ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE flow_visit ADD COLUMN undone INTEGER NOT NULL DEFAULT 0;"
	 "UPDATE flow SET status = 'ready' WHERE status = 'waiting' AND ending IS NOT NULL;"
	 "UPDATE flow SET visit = coalesce((SELECT max(seq) FROM flow_visit WHERE flow = id AND ended_ms IS NULL), 0),"
	 " version = 1 + coalesce((SELECT max(seq) FROM flow_visit WHERE flow = id), 0);"
	 "INSERT INTO flow_event (flow, seq, time_ms, kind, step, next, number, text)"
	 " SELECT id, version, since_ms, 'imported', step, status, tries, error FROM flow;"
	 "UPDATE flow SET version = version + 1, error = coalesce(error, '') WHERE ending IS NOT NULL;"
	 "INSERT INTO flow_event (flow, seq, time_ms, kind, step, text)"
	 " SELECT id, version, since_ms, CASE ending WHEN 'failed' THEN 'failing' ELSE 'stopping' END, step, error FROM flow"
	 " WHERE ending IS NOT NULL;"
	 "DROP INDEX flow_due;"
	 "CREATE INDEX flow_line ON flow (name, priority DESC, rank) WHERE status = 'ready';"
	 "CREATE INDEX flow_tenant ON flow (name, tenant, rank) WHERE status = 'ready';"
	 "CREATE INDEX flow_owned ON flow (name, owner) WHERE owner IS NOT NULL;"
	 "CREATE INDEX flow_wake ON flow (name, wake_ms) WHERE status = 'waiting';"
	 "CREATE TABLE flow_timer ("
	 " flow TEXT NOT NULL REFERENCES flow (id), name TEXT NOT NULL, due_ms INTEGER NOT NULL, PRIMARY KEY (flow, name)) STRICT;"
	 "CREATE INDEX flow_timer_due ON flow_timer (due_ms);"

	 /* what came from outside, before anything is done about it */
	 "CREATE TABLE inbox ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, delivery TEXT NOT NULL, content TEXT, stream TEXT NOT NULL,"
	 " kind TEXT NOT NULL, data TEXT NOT NULL, time_ms INTEGER NOT NULL,"
	 " status TEXT NOT NULL DEFAULT 'new' CHECK (status IN ('new', 'done', 'dead')), tries INTEGER NOT NULL DEFAULT 0,"
	 " wake_ms INTEGER NOT NULL DEFAULT 0, error TEXT, UNIQUE (source, delivery), UNIQUE (source, content)) STRICT;"
	 "CREATE INDEX inbox_new ON inbox (seq) WHERE status = 'new';"
	 "CREATE INDEX inbox_stream ON inbox (source, stream, seq) WHERE status = 'new';"

	 /* what is to happen outside */
	 "CREATE TABLE outbox ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, operation TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, target TEXT NOT NULL,"
	 " kind TEXT NOT NULL, data TEXT NOT NULL, chatter INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
	 " status TEXT NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'sent', 'dropped', 'dead')),"
	 " tries INTEGER NOT NULL DEFAULT 0, wake_ms INTEGER NOT NULL DEFAULT 0, owner TEXT, fence INTEGER NOT NULL DEFAULT 0,"
	 " answer TEXT, error TEXT) STRICT;"
	 "CREATE INDEX outbox_queued ON outbox (seq) WHERE status = 'queued';"
	 "CREATE INDEX outbox_target ON outbox (target, seq) WHERE status = 'queued';"
	 "CREATE TABLE outbox_tenant (tenant TEXT PRIMARY KEY, blocked_until_ms INTEGER NOT NULL) STRICT;"

	 /* what is made true again and again */
	 "CREATE TABLE reconciler (name TEXT PRIMARY KEY, last_ms INTEGER NOT NULL, error TEXT) STRICT;"},
	{"who is told of what changes",
	 "CREATE TABLE hook ("
	 " id TEXT PRIMARY KEY, url TEXT NOT NULL, secret TEXT NOT NULL, kinds TEXT NOT NULL, created_ms INTEGER NOT NULL,"
	 " told_ms INTEGER, said TEXT) STRICT, WITHOUT ROWID;"},
	{"who has signed in",
	 "CREATE TABLE session ("
	 " digest TEXT PRIMARY KEY, token TEXT NOT NULL, token_digest TEXT NOT NULL, ends_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"},
	{"outside services",
	 "CREATE TABLE connection ("
	 " id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL UNIQUE, base TEXT NOT NULL, configuration TEXT NOT NULL,"
	 " secrets TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('new', 'ready', 'broken')), error TEXT,"
	 " created_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"},
	{"lists by state", "CREATE INDEX run_state ON run (state, seq);"
			   "CREATE INDEX issue_state ON issue (state, number);"
			   "CREATE INDEX pull_state ON pull (state, number);"},
	{"answers that are given again",
	 "CREATE TABLE idempotency (key TEXT PRIMARY KEY, body TEXT NOT NULL, answer TEXT, secret INTEGER NOT NULL DEFAULT 0,"
	 " time_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	 "CREATE INDEX idempotency_time ON idempotency (time_ms);"},
	{"second opinions",
	 "CREATE TABLE opinion ("
	 " run TEXT NOT NULL, head TEXT NOT NULL, reviewer TEXT NOT NULL,"
	 " status TEXT NOT NULL CHECK (status IN ('given', 'nothing', 'failed', 'skipped')), text TEXT NOT NULL,"
	 " cost_usd REAL NOT NULL, agent_ms INTEGER NOT NULL, time_ms INTEGER NOT NULL, PRIMARY KEY (run, head, reviewer)) STRICT;"},
	{"projects at code hosts",
	 "CREATE TABLE repository ("
	 " name TEXT PRIMARY KEY, connection TEXT NOT NULL, remote TEXT NOT NULL, url TEXT NOT NULL, branch TEXT NOT NULL,"
	 " judges INTEGER NOT NULL, UNIQUE (connection, remote)) STRICT, WITHOUT ROWID;"
	 "CREATE TABLE pull_remote ("
	 " pull INTEGER NOT NULL UNIQUE, repository TEXT NOT NULL, number INTEGER NOT NULL, url TEXT NOT NULL,"
	 " UNIQUE (repository, number)) STRICT;"
	 "CREATE TABLE issue_remote ("
	 " issue INTEGER NOT NULL UNIQUE, repository TEXT NOT NULL, number INTEGER NOT NULL, url TEXT NOT NULL,"
	 " UNIQUE (repository, number)) STRICT;"
	 /* what reviewers wrote: new, given to the agent, answered */
	 "CREATE TABLE pull_thread ("
	 " seq INTEGER PRIMARY KEY AUTOINCREMENT, repository TEXT NOT NULL, number INTEGER NOT NULL, run TEXT NOT NULL,"
	 " comment TEXT NOT NULL, thread TEXT NOT NULL, author TEXT NOT NULL, head TEXT,"
	 " state TEXT NOT NULL CHECK (state IN ('new', 'given', 'answered')), UNIQUE (repository, comment)) STRICT;"
	 "CREATE INDEX pull_thread_open ON pull_thread (run) WHERE state <> 'answered';"
	 "ALTER TABLE run ADD COLUMN judges INTEGER NOT NULL DEFAULT 0;"
	 "CREATE INDEX run_judges ON run (repository, judges) WHERE judges > 0;"},
	{"who signs in at a provider",
	 "CREATE TABLE signin (digest TEXT PRIMARY KEY, nonce TEXT NOT NULL, verifier TEXT NOT NULL, ends_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	 "CREATE TABLE session_person (digest TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL, ends_ms INTEGER NOT NULL)"
	 " STRICT, WITHOUT ROWID;"},
	{"issues from outside",
	 /* who allowed what in an outside service, with its tokens */
	 "CREATE TABLE account ("
	 " connection TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL, self TEXT, scopes TEXT NOT NULL DEFAULT '',"
	 " secrets TEXT NOT NULL, ends_ms INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (connection, account)) STRICT, WITHOUT ROWID;"
	 "CREATE TABLE permission ("
	 " state TEXT PRIMARY KEY, connection TEXT NOT NULL, verifier TEXT NOT NULL, redirect TEXT NOT NULL,"
	 " ends_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	 "ALTER TABLE issue ADD COLUMN connection TEXT;"
	 "ALTER TABLE issue ADD COLUMN account TEXT;"
	 "ALTER TABLE issue ADD COLUMN item TEXT;"
	 "ALTER TABLE issue ADD COLUMN item_id TEXT;"
	 "ALTER TABLE issue ADD COLUMN url TEXT;"
	 "ALTER TABLE issue ADD COLUMN updated TEXT;"
	 "CREATE UNIQUE INDEX issue_outside ON issue (connection, account, item_id) WHERE connection IS NOT NULL;"
	 "CREATE INDEX issue_item ON issue (item) WHERE item IS NOT NULL;"
	 "CREATE TABLE thread ("
	 " id TEXT PRIMARY KEY, connection TEXT NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL, thread TEXT NOT NULL,"
	 " item TEXT, item_id TEXT, url TEXT, issue INTEGER, run TEXT,"
	 " state TEXT NOT NULL CHECK (state IN ('opening', 'asking', 'running', 'stopped', 'gone')), actor TEXT,"
	 " request TEXT NOT NULL, asked TEXT, woken TEXT, said_ms INTEGER NOT NULL DEFAULT 0, created_ms INTEGER NOT NULL,"
	 " UNIQUE (connection, account, thread)) STRICT, WITHOUT ROWID;"
	 "CREATE INDEX thread_run ON thread (run) WHERE run IS NOT NULL;"
	 "CREATE INDEX thread_item ON thread (connection, account, item_id);"},
	{"what a run may cost", "ALTER TABLE run ADD COLUMN cost_question INTEGER NOT NULL DEFAULT 0;"
				"ALTER TABLE run ADD COLUMN cost_allowed REAL NOT NULL DEFAULT 0;"},
	{"files of issues",
	 "CREATE TABLE attachment ("
	 " issue INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL, author TEXT NOT NULL,"
	 " time_ms INTEGER NOT NULL, PRIMARY KEY (issue, name)) STRICT, WITHOUT ROWID;"},
	{"what is told in one message", "ALTER TABLE thread ADD COLUMN board TEXT;"
					"ALTER TABLE thread ADD COLUMN told TEXT;"},
	{"differences that are meant",
	 "CREATE TABLE declaration ("
	 " run TEXT NOT NULL, match TEXT NOT NULL, author TEXT NOT NULL, because TEXT NOT NULL, holds INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
	 " PRIMARY KEY (run, match)) STRICT, WITHOUT ROWID;"
	 "ALTER TABLE run ADD COLUMN declarations INTEGER NOT NULL DEFAULT 0;"
	 "ALTER TABLE run ADD COLUMN judged_declarations INTEGER NOT NULL DEFAULT 0;"},
	{"runs over several repositories",
	 /* `joined`: the repository in which base and head are all of them; `exported`: what was last taken from the environment */
	 "ALTER TABLE run ADD COLUMN joined TEXT;"
	 "ALTER TABLE run ADD COLUMN exported TEXT;"
	 "ALTER TABLE run ADD COLUMN merging TEXT;" /* who wants all of them merged */
	 "CREATE TABLE run_part ("
	 " run TEXT NOT NULL, position INTEGER NOT NULL, repository TEXT NOT NULL, base_wanted TEXT NOT NULL, base TEXT, head TEXT,"
	 " pull INTEGER, published TEXT, outcome TEXT, PRIMARY KEY (run, position)) STRICT, WITHOUT ROWID;"
	 "CREATE INDEX run_part_pull ON run_part (pull) WHERE pull IS NOT NULL;"},
	{"pictures of runs",
	 /* `told`: it was said where the work was given */
	 "CREATE TABLE picture ("
	 " id TEXT PRIMARY KEY, run TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, bytes INTEGER NOT NULL,"
	 " told INTEGER NOT NULL DEFAULT 0, time_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
	 "CREATE INDEX picture_run ON picture (run, time_ms);"
	 "CREATE INDEX picture_digest ON picture (digest);"
	 /* where it was brought, and what it is called there */
	 "CREATE TABLE picture_place ("
	 " picture TEXT NOT NULL, place TEXT NOT NULL, url TEXT NOT NULL, PRIMARY KEY (picture, place)) STRICT, WITHOUT ROWID;"},
	{"whose team's work it is", "ALTER TABLE thread ADD COLUMN team TEXT;"},
	{"pictures and recordings that verification made",
	 "ALTER TABLE picture ADD COLUMN source TEXT NOT NULL DEFAULT 'agent';"
	 "ALTER TABLE picture ADD COLUMN type TEXT NOT NULL DEFAULT 'image/png';"},
};

const size_t store_migration_count = sizeof(store_migrations) / sizeof(store_migrations[0]);
