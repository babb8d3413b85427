/* Threads for what outlives a handler: counted, bounded, and waited for at the end. */
#include <stdlib.h>

#include "base/scope.h"
#include "web/web_priv.h"

struct worker {
	struct web *web;
	void (*function)(void *self);
	void *self;
};

static void worker_end(struct web *web)
{
	(void)pthread_mutex_lock(&web->mutex);
	web->workers--;
	(void)pthread_cond_broadcast(&web->idle);
	(void)pthread_mutex_unlock(&web->mutex);
}

static void *worker_main(void *self)
{
	struct worker worker = *(struct worker *)self;

	free(self);
	worker.function(worker.self);
	worker_end(worker.web);
	return NULL;
}

int web_work(struct web *web, void (*function)(void *self), void *self, struct err *err)
{
	struct worker *worker;
	pthread_attr_t attributes;
	pthread_t thread;
	bool full;
	int failed;

	(void)pthread_mutex_lock(&web->mutex);
	full = web->workers >= WORKERS_MAX || atomic_load(&web->closing);
	web->workers += !full;
	(void)pthread_mutex_unlock(&web->mutex);
	if (full)
		return err_set(err, ERR_RETRY, "more than %d streams and operations at once: close some pages", WORKERS_MAX);
	worker = mem_new(sizeof(*worker));
	*worker = (struct worker){web, function, self};
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	failed = pthread_create(&thread, &attributes, worker_main, worker);
	(void)pthread_attr_destroy(&attributes);
	if (!failed)
		return 0;
	free(worker);
	worker_end(web);
	return err_errno(err, failed, "cannot start a thread");
}

/* ---- jobs ---- */

static void job_tell(struct job *job, const char *event, const json_t *data)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);

	json_format(&text, data);
	if (!http_stream_event(job->stream, event, NULL, buf_view(&text)))
		job->cancelled = true;
}

static void job_progress(void *self, const char *step, const char *detail, int64_t ms)
{
	struct job *job = self;
	AUTO_JSON data = json_pack("{s:I}", "ms", (json_int_t)ms);

	json_set_bytes(data, "step", view_of(step));
	json_set_bytes(data, "detail", view_of(detail ? detail : ""));
	job_tell(job, "progress", data);
}

static void job_fail(struct job *job, const struct err *err)
{
	AUTO_JSON data = http_problem(err);

	job_tell(job, "error", data);
}

static void job_add(struct job *job)
{
	struct web *web = job->web;

	(void)pthread_mutex_lock(&web->mutex);
	job->next = web->jobs;
	job->place = &web->jobs;
	if (job->next)
		job->next->place = &job->next;
	web->jobs = job;
	(void)pthread_mutex_unlock(&web->mutex);
}

static void job_free(struct job *job)
{
	(void)pthread_mutex_lock(&job->web->mutex);
	*job->place = job->next;
	if (job->next)
		job->next->place = job->place;
	(void)pthread_mutex_unlock(&job->web->mutex);
	http_stream_close(job->stream);
	json_decref(job->body);
	free(job);
}

static void job_run(void *self)
{
	struct job *job = self;
	struct err err = {0};
	AUTO_JSON done = job->work(job, (struct progress){job_progress, job, &job->cancelled}, &err);

	if (done)
		job_tell(job, "done", done);
	else
		job_fail(job, &err);
	job_free(job);
}

json_t *work_stream(struct call *call, const struct env_id *env,
		    json_t *(*work)(struct job *job, struct progress progress, struct err *err), struct err *err)
{
	struct job *job = mem_new(sizeof(*job));

	*job = (struct job){.web = call->web, .body = TAKE(call->body), .work = work};
	if (env)
		job->env = *env;
	job->stream = http_reply_stream(call->reply, 200, "text/event-stream");
	call->answered = true;
	job_add(job);
	if (web_work(call->web, job_run, job, err)) {
		job_fail(job, err);
		job_free(job);
	}
	return NULL;
}
