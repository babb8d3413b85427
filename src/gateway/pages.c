/* A small page per state. */
#include "gateway/pages.h"

struct row {
	unsigned status;
	unsigned retry_seconds; /* 0: it does not reload */
	const char *title;
	const char *text;
};

static const struct row rows[] = {
	[PAGE_STARTING] = {503, 2, "Starting", "This environment is being made. The page opens by itself when it is ready."},
	[PAGE_FAILED] = {503, 10, "It did not start", "This environment failed. Its logs say why: assay env logs"},
	[PAGE_STOPPED] = {503, 5, "Stopped", "This environment is stopped. The page opens by itself when it is started again."},
	[PAGE_ASLEEP] = {503, 2, "Waking up", "This environment was asleep and takes longer than usual to wake up."},
	[PAGE_SILENT] = {503, 2, "No answer yet", "The environment is up, but the service that the preview shows does not answer."},
	[PAGE_GONE] = {404, 0, "Gone", "This environment was here and has been removed."},
	[PAGE_UNKNOWN] = {404, 0, "No such environment",
			  "There is no environment of this name. Previews are at http://<env>.localhost and /env/<env>/."},
	[PAGE_NO_PREVIEW] = {404, 0, "No preview",
			     "No service of this environment is meant to be shown: see preview in assay.yaml."},
	[PAGE_MISDIRECTED] = {421, 0, "Not here",
			      "Previews are at http://<env>.localhost and, on this machine's own address, at /env/<env>/."},
	[PAGE_KILLED] = {503, 10, "Stopped by a person",
			 "Everything of this environment was stopped: assay kill --undo lets it go on."},
	[PAGE_ELSEWHERE] = {421, 0, "Not here",
			    "There are previews here, each at an address of its own, and this is none of them."},
	[PAGE_NO_PASS] = {403, 0, "For those who were invited",
			  "This preview opens with the link that Assay posted, or for people who may sign in to its pages."},
	[PAGE_PASS_ENDED] = {403, 0, "This link has ended",
			     "A link to a preview ends after a while. Ask for a new one: /assay preview, or assay env url."},
	[PAGE_FOREIGN] = {403, 0, "Not from there", "A page of another address may link to a preview, and no more."},
};

unsigned page_status(enum page page)
{
	return rows[page].status;
}

const char *page_headers(enum page page, bool html)
{
	static const char *const texts[2][2] = {
		{"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n",
		 "Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nRetry-After: 2\r\n"},
		{"Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\n",
		 "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nRetry-After: 2\r\n"},
	};

	return texts[html][rows[page].status == 503];
}

void page_format(struct buf *out, enum page page, bool html, const char *env, const char *detail)
{
	const struct row *row = &rows[page];

	if (!html) {
		buf_add_format(out, "assay: %s: %s%s%s%s\n", env, row->text, detail ? " (" : "", detail ? detail : "",
			       detail ? ")" : "");
		return;
	}
	buf_add_text(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
	if (row->retry_seconds)
		buf_add_format(out, "<meta http-equiv=\"refresh\" content=\"%u\">\n", row->retry_seconds);
	buf_add_format(out, "<title>%s · Assay</title>\n", row->title);
	buf_add_text(
		out,
		"<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:18vh auto;"
		"padding:0 1.5rem}h1{font-size:1.4rem;margin:0 0 .5rem}code,small{opacity:.7}</style>\n</head>\n<body>\n<main>\n");
	buf_add_format(out, "<h1>%s</h1>\n<p>", row->title);
	buf_add_html(out, view_of(row->text));
	buf_add_text(out, "</p>\n");
	if (detail) {
		buf_add_text(out, "<p><small>");
		buf_add_html(out, view_of(detail));
		buf_add_text(out, "</small></p>\n");
	}
	buf_add_text(out, "<p><code>");
	buf_add_html(out, view_of(env));
	buf_add_text(out, "</code></p>\n</main>\n</body>\n</html>\n");
}
