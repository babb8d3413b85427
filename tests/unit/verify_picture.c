/* Screenshots held against each other: what moves by itself, what differs, and what is no picture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"
#include "verify/picture.h"

#define WIDTH 320
#define HEIGHT 200

/* White, with a box of a grey. */
static struct buf png_make(int width, int height, int x, int y, int side, unsigned char grey)
{
	unsigned char *pixels = mem_new_array((size_t)width * (size_t)height * 3, 1);
	png_image image = {
		.version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height, .format = PNG_FORMAT_RGB};
	png_alloc_size_t bytes = 0;
	struct buf png = buf_new(PICTURE_BYTES_MAX);
	char *room;

	memset(pixels, 255, (size_t)width * (size_t)height * 3);
	for (int row = y; row < y + side; row++)
		memset(pixels + 3 * ((size_t)row * (size_t)width + (size_t)x), grey, 3 * (size_t)side);
	assert_true(png_image_write_get_memory_size(image, bytes, 0, pixels, 0, NULL));
	room = buf_reserve(&png, bytes);
	assert_true(png_image_write_to_memory(&image, room, &bytes, 0, pixels, 0, NULL));
	buf_commit(&png, bytes);
	free(pixels);
	return png;
}

static int compared(struct buf *base, struct buf *again, struct buf *head, struct region regions[PICTURE_REGIONS_MAX])
{
	struct err err = {0};
	int count = picture_compare(buf_view(base), buf_view(again), buf_view(head), regions, &err);

	assert_true(count >= 0);
	return count;
}

static void only_what_the_base_does_not_differ_in_by_itself_is_told(void **state)
{
	AUTO_BUF empty = png_make(WIDTH, HEIGHT, 0, 0, 0, 0);
	AUTO_BUF box = png_make(WIDTH, HEIGHT, 64, 96, 32, 0);
	AUTO_BUF faint = png_make(WIDTH, HEIGHT, 64, 96, 32, 250);
	AUTO_BUF dot = png_make(WIDTH, HEIGHT, 64, 96, 2, 0);
	AUTO_BUF large = png_make(WIDTH, HEIGHT + 10, 0, 0, 0, 0);
	struct region regions[PICTURE_REGIONS_MAX];

	(void)state;
	assert_int_equal(compared(&empty, &empty, &empty, regions), 0);
	assert_int_equal(compared(&empty, &empty, &box, regions), 1);
	assert_int_equal(regions[0].x, 64);
	assert_int_equal(regions[0].y, 96);
	assert_int_equal(regions[0].width, 32);
	assert_int_equal(regions[0].height, 32);
	assert_int_equal(compared(&empty, &box, &box, regions), 0);     /* it comes and goes on the base */
	assert_int_equal(compared(&empty, &empty, &faint, regions), 0); /* nobody sees it */
	assert_int_equal(compared(&empty, &empty, &dot, regions), 0);
	assert_int_equal(compared(&empty, &empty, &large, regions), 1);
	assert_int_equal(compared(&empty, &large, &box, regions), 0);
}

static void what_is_no_picture_is_refused(void **state)
{
	AUTO_BUF good = png_make(WIDTH, HEIGHT, 0, 0, 0, 0);
	const struct view rows[] = {VIEW(""), VIEW("\x89PNG"), VIEW("GIF89a"), view_make(good.at, good.length / 2)};
	struct region regions[PICTURE_REGIONS_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = {0};

		assert_int_equal(picture_compare(buf_view(&good), buf_view(&good), rows[i], regions, &err), -1);
		assert_int_equal(err.kind, ERR_INVALID);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_the_base_does_not_differ_in_by_itself_is_told),
		cmocka_unit_test(what_is_no_picture_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
