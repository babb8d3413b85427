/* Markdown on standard input, a document of Jira on standard output. */
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "trackers/adf.h"

int main(void)
{
	AUTO_BUF text = buf_new(BUF_MAX_DEFAULT);
	AUTO_BUF out = buf_new(BUF_MAX_DEFAULT);
	struct err err = {0};

	if (file_read_fd(STDIN_FILENO, &text, &err)) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	AUTO_JSON document = adf_of_markdown(buf_view(&text));

	json_format(&out, document);
	puts(out.at);
	return 0;
}
