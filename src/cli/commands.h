/*
 * commands: the rows of `assay help`, in its order. A row is COMMAND(name, arguments, summary); the function is cli_<name>, in
 * src/cli/<name>.c, which is also added to src/cli/meson.build.
 */
#ifndef ASSAY_CLI_COMMANDS_H
#define ASSAY_CLI_COMMANDS_H

/* A row must not move the others' ends. */
/* clang-format off */
#define CLI_COMMANDS(COMMAND) \
	COMMAND(run, "\"TEXT\" | --issue N | --file FILE", "gives an issue to an agent and shows the work live") \
	COMMAND(runs, "[--state S] [--repository R] [--text T] [--all] [--json]", "lists the runs") \
	COMMAND(show, "RUN [--follow [--until STATE]] [--json]", "shows what happened in a run") \
	COMMAND(watch, "RUN [--until STATE] [--json]", "shows a run live, to its end") \
	COMMAND(message, "RUN TEXT", "says something to the agent of a run") \
	COMMAND(declare, "RUN DIFFERENCE [--because TEXT] [--undo]", "says that a difference of a run's change is meant") \
	COMMAND(stop, "RUN", "stops a run") \
	COMMAND(retry, "RUN", "takes a run up again") \
	COMMAND(issue, "COMMAND …", "the issues: list, show, new, comment, close") \
	COMMAND(pull, "COMMAND …", "the pull requests: list, show, diff, review, merge") \
	COMMAND(repo, "COMMAND …", "the repositories of the server: list, put, add") \
	COMMAND(init, "[DIR] [--force] [--stdout]", "writes a first assay.yaml from compose.yaml, Procfile or package.json") \
	COMMAND(check, "[FILE] [--json]", "checks a blueprint") \
	COMMAND(env, "up|list|show|logs|shell|exec|… [ENV]", "makes, looks into and removes environments") \
	COMMAND(snapshot, "create|list|show|rm", "keeps states of databases to fork from") \
	COMMAND(agents, "[list|install|rm]", "the coding agents: which are installed; installs them from npm") \
	COMMAND(verify, "--base A [--head B] [--repo DIR] [--json]", "says whether a commit keeps what another one does") \
	COMMAND(reproduce, "RECORD#FINDING [--repo DIR] [--key PEM] [--json]", "looks at one finding of a record again") \
	COMMAND(record, "show|verify FILE|RUN", "shows and checks the signed records of verdicts") \
	COMMAND(secret, "set|list|rm NAME", "keeps credentials that sandboxes only see placeholders of") \
	COMMAND(ledger, "search|show|export|verify|heads", "searches and checks the log of all that was let out, asked and decided") \
	COMMAND(session, "record|import|list|show|hold|…", "keeps recorded traffic to replay") \
	COMMAND(explore, "[ENV] [--openapi FILE] [--session FILE.har] [-o FILE.har]", "makes a session of requests that nobody has asked yet") \
	COMMAND(egress, "tail ENV [--all] [--once] [--json]", "shows what leaves an environment, live") \
	COMMAND(policy, "check|explain|suggest|simulate|show|reload", "the rules for what may leave") \
	COMMAND(holds, "[--all] [--json]", "lists the requests that wait for a person") \
	COMMAND(approve, "HOLD [--for once|run|hour]", "lets a request go that waits") \
	COMMAND(deny, "HOLD [--because TEXT] [--stop-run]", "refuses a request that waits") \
	COMMAND(kill, "ENV | --all [--because TEXT] [--undo]", "stops everything that an environment does outside, at once") \
	COMMAND(budget, "RUN [--set USD] [--json]", "shows what the models of a run have cost") \
	COMMAND(token, "create|list|rm NAME", "says who may call the API over TCP, and as what") \
	COMMAND(connect, "KIND [--set KEY=VALUE...] [--secrets] [--base URL]", "joins an outside service: Linear, GitHub, ...") \
	COMMAND(connections, "[list|show|set|rm]", "the outside services that are joined") \
	COMMAND(forges, "check [CONNECTION]", "what is missing at a code host, and how to add it") \
	COMMAND(linear, "connect [NAME] [--own]", "lets a workspace of Linear give work") \
	COMMAND(jira, "connect [NAME] [--own]", "lets a site of Jira give work") \
	COMMAND(slack, "connect [NAME]", "lets a workspace of Slack give work") \
	COMMAND(trackers, "check [NAME]", "says what a connection lacks, and how to add it") \
	COMMAND(webhook, "create|list|rm", "tells others of what changes") \
	COMMAND(mcp, "[--role ROLE] [--as NAME]", "serves all this as tools to another agent, over MCP") \
	COMMAND(serve, "[--listen A:P] [--preview A:P] [--background | --stop]", "runs the server, with pages and previews") \
	COMMAND(relay, "--tokens FILE | --to HOST:PORT --domain D --token-file FILE", "forwards previews of machines that can open no port") \
	COMMAND(status, "[--json]", "says whether a server runs here, and where") \
	COMMAND(export, "runs|events|issues|pulls|records [--after CURSOR]", "prints what the store holds, a JSON object a line") \
	COMMAND(backup, "FILE", "writes all that cannot be made again into one file, also while the server runs") \
	COMMAND(restore, "FILE", "brings back what a backup holds, into an empty state") \
	COMMAND(kubernetes, "check [--conformance]", "says whether a cluster can carry environments, and what it lacks") \
	COMMAND(doctor, "[--json]", "says what this machine lacks, and how to get it") \
	COMMAND(version, "", "prints the version")
/* clang-format on */

#define CLI_COMMAND_DECLARE(name, arguments, summary) int cli_##name(int argc, char **argv);
CLI_COMMANDS(CLI_COMMAND_DECLARE)
#undef CLI_COMMAND_DECLARE

#endif
