/* Looks at the machine, and what its delays may explain. */
#include "verify/pressure.h"

#include <unistd.h>

#include "base/file.h"
#include "base/scope.h"
#include "verify/call.h"
#include "verify/finding.h"

#define TEXT_MAX ((size_t)4096)
#define LONG_MS 1000 /* whoever waits less than that is in no need of a calm machine */

static int64_t total_of(const char *path, const char *word)
{
	AUTO_BUF text = buf_new(TEXT_MAX);

	return file_read(path, &text, NULL) ? -1 : pressure_total_us(buf_view(&text), word);
}

int64_t pressure_total_us(struct view text, const char *word)
{
	static const struct view name = VIEW("total=");

	while (text.length) {
		struct view line = view_cut(text, '\n', &text);
		ptrdiff_t at = view_find(line, name);
		uint64_t number;

		if (view_starts(line, view_of(word)) && at >= 0 &&
		    view_to_u64(view_make(line.at + (size_t)at + name.length, line.length - (size_t)at - name.length), &number))
			return (int64_t)(number & INT64_MAX);
	}
	return -1;
}

/* "0.52 0.58 0.59 17/467 20393": how many of all tasks run or want to. */
static int running_now(void)
{
	AUTO_BUF text = buf_new(TEXT_MAX);
	struct view rest;
	uint64_t number;

	if (file_read("/proc/loadavg", &text, NULL))
		return 0;
	rest = buf_view(&text);
	for (int i = 0; i < 3; i++)
		(void)view_cut(rest, ' ', &rest);
	return view_to_u64(view_cut(rest, '/', &rest), &number) && number < INT32_MAX ? (int)number : 0;
}

static void machine_read(struct pressure *now)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);

	*now = (struct pressure){.cores = cores > 0 ? (int)cores : 1,
				 .running = running_now(),
				 .memory_us = total_of("/proc/pressure/memory", "some "),
				 .disk_us = total_of("/proc/pressure/io", "full ")};
}

void pressure_read(struct pressure_source source, struct pressure *now)
{
	if (source.read)
		source.read(source.self, now);
	else
		machine_read(now);
}

void pressure_add(struct pressure_sum *sum, const struct pressure *now, int64_t elapsed_ms)
{
	if (!sum->looks) {
		sum->first = *now;
		sum->begin_ms = elapsed_ms;
	}
	sum->last = *now;
	sum->end_ms = elapsed_ms;
	sum->running += now->running;
	sum->looks++;
}

static int64_t percent(int64_t first_us, int64_t last_us, const struct pressure_sum *sum)
{
	int64_t time_ms = sum->end_ms - sum->begin_ms;

	return first_us < 0 || last_us < first_us || time_ms <= 0 ? 0 : (last_us - first_us) / 10 / time_ms;
}

bool pressure_over(const struct pressure_sum *sum, struct buf *why)
{
	int64_t memory = percent(sum->first.memory_us, sum->last.memory_us, sum);
	int64_t disk = percent(sum->first.disk_us, sum->last.disk_us, sum);
	int64_t running = sum->looks ? sum->running / sum->looks : 0;

	if (running > (int64_t)sum->first.cores * PRESSURE_TASKS_MAX) {
		if (why)
			buf_add_format(why, "%lld tasks wanted to run on %d cores", (long long)running, sum->first.cores);
		return true;
	}
	if (memory >= PRESSURE_MEMORY_PERCENT || disk >= PRESSURE_DISK_PERCENT) {
		if (why)
			buf_add_format(why, "programs stood still for %s %lld %% of the time",
				       memory >= PRESSURE_MEMORY_PERCENT ? "memory" : "disks",
				       (long long)(memory >= PRESSURE_MEMORY_PERCENT ? memory : disk));
		return true;
	}
	return false;
}

/* ---- what delays explain ---- */

static bool status_of_delay(int status)
{
	return status == 0 || status == 408 || status == 429 || status >= 500;
}

static bool entry_failed(const json_t *entry)
{
	const json_t *seams = json_member(entry, "seams");

	if (status_of_delay(call_status(entry)))
		return true;
	for (size_t i = 0; i < json_array_size(seams); i++) {
		const json_t *call = json_array_get(seams, i);

		if (call_is(call, "http") && status_of_delay(call_status(call)))
			return true;
	}
	return false;
}

static bool entry_suffered(const json_t *entry)
{
	return json_number(entry, "ms", 0) >= LONG_MS || entry_failed(entry);
}

bool pressure_explains(const json_t *a, const json_t *b)
{
	return entry_suffered(a) || (b && entry_suffered(b));
}

void pressure_mark(json_t *findings, const json_t *base_run, const json_t *head_run)
{
	const json_t *base = json_member(base_run, "entries");
	const json_t *head = json_member(head_run, "entries");
	size_t follow = json_array_size(base); /* from here on: what was to be changed, and may not be, is asked for */
	bool any = false;

	for (size_t i = json_array_size(base); i > 0; i--) {
		const json_t *entry = json_array_get(base, i - 1);

		const json_t *other = json_array_get(head, i - 1);

		if (!pressure_explains(entry, other))
			continue;
		any = true;
		/* What was answered late, but well on both sides, was changed. */
		follow = call_changes(entry) && (entry_failed(entry) || (other && entry_failed(other))) ? i - 1 : follow;
	}
	for (size_t i = 0; i < json_array_size(findings); i++) {
		json_t *finding = json_array_get(findings, i);
		int64_t at = json_number(finding, "at", -1);
		bool timed = at < 0 ? any
			     : (uint64_t)at >= follow
				     ? true
				     : pressure_explains(json_array_get(base, (size_t)at), json_array_get(head, (size_t)at));

		if (timed && finding_is(finding, SEVERITY_BLOCK))
			(void)json_object_set_new(finding, "timed", json_true());
	}
}

void pressure_mark_kinds(json_t *findings)
{
	static const struct {
		const char *gate;
		const char *kind; /* NULL: any */
	} kinds[] = {{"faults", NULL}, {"race", "race-lost"}, {"race", "race-error"}, {"visual", NULL}};

	for (size_t i = 0; i < json_array_size(findings); i++) {
		json_t *finding = json_array_get(findings, i);

		for (size_t k = 0; k < ARRAY_LEN(kinds) && finding_is(finding, SEVERITY_BLOCK); k++)
			if (strcmp(json_text(finding, "gate", ""), kinds[k].gate) == 0 &&
			    (!kinds[k].kind || strcmp(json_text(finding, "kind", ""), kinds[k].kind) == 0))
				(void)json_object_set_new(finding, "timed", json_true());
	}
}
