/* blob_make FILE NAME HEADER: prints a file as a C array `NAME` with `NAME_length`, at build time. */
#include <stdio.h>

int main(int argc, char **argv)
{
	FILE *file = argc == 4 ? fopen(argv[1], "rb") : NULL;
	size_t length = 0;
	int byte;

	if (!file) {
		(void)fprintf(stderr, "usage: blob_make FILE NAME HEADER\n");
		return 2;
	}
	(void)printf("/* Made by blob_make. */\n#include \"%s\"\n\nconst unsigned char %s[] = {", argv[3], argv[2]);
	while ((byte = getc(file)) != EOF)
		(void)printf("%s%d,", length++ % 32 ? "" : "\n", byte);
	(void)printf("\n};\nconst size_t %s_length = %zu;\n", argv[2], length);
	return fclose(file) ? 1 : 0;
}
