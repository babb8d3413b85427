/* Pictures in tiles: a tile differs when enough of its pixels do, and neighbours are one region. */
#include "verify/picture.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/scope.h"

#define TILE 16
#define TILES_MAX ((PICTURE_SIDE_MAX + TILE - 1) / TILE)
#define TILE_PIXELS_LEAST 6 /* of a tile that differ: fewer are the edge of a letter */
#define DELTA_LEAST 1300    /* of 35215, the distance of black and white in YIQ: what is less is not seen */

struct picture {
	unsigned char *pixels; /* RGB */
	int width, height;
};

static void picture_fini(struct picture *picture)
{
	free(picture->pixels);
}
#define AUTO_PICTURE __attribute__((cleanup(picture_fini))) struct picture

static int picture_read(struct view bytes, struct picture *picture, struct err *err)
{
	png_image image = {.version = PNG_IMAGE_VERSION};
	const png_color white = {255, 255, 255};

	if (bytes.length > PICTURE_BYTES_MAX || !png_image_begin_read_from_memory(&image, bytes.at, bytes.length))
		return err_set(err, ERR_INVALID, "a screenshot is no PNG: %.100s", image.message);
	image.format = PNG_FORMAT_RGB;
	if (image.width > PICTURE_SIDE_MAX || image.height > PICTURE_SIDE_MAX) {
		png_image_free(&image);
		return err_set(err, ERR_LIMIT, "a screenshot is larger than %d pixels", PICTURE_SIDE_MAX);
	}
	picture->width = (int)image.width;
	picture->height = (int)image.height;
	picture->pixels = mem_new_array(PNG_IMAGE_SIZE(image) + 1, 1);
	if (!png_image_finish_read(&image, &white, picture->pixels, 0, NULL))
		return err_set(err, ERR_INVALID, "a screenshot cannot be read: %.100s", image.message);
	return 0;
}

/* Kotsarenko and Ramos, "Measuring perceived color difference using YIQ NTSC transmission color space in mobile applications" (2010). */
static bool pixel_differs(const unsigned char *a, const unsigned char *b)
{
	double red = (double)a[0] - b[0];
	double green = (double)a[1] - b[1];
	double blue = (double)a[2] - b[2];
	double y = red * 0.29889531 + green * 0.58662247 + blue * 0.11448223;
	double i = red * 0.59597799 - green * 0.27417610 - blue * 0.32180189;
	double q = red * 0.21147017 - green * 0.52261711 + blue * 0.31114694;

	return 0.5053 * y * y + 0.299 * i * i + 0.1957 * q * q > DELTA_LEAST;
}

static bool tile_differs(const struct picture *a, const struct picture *b, int column, int row)
{
	int count = 0;

	for (int y = row * TILE; y < (row + 1) * TILE && y < a->height; y++)
		for (int x = column * TILE; x < (column + 1) * TILE && x < a->width; x++) {
			size_t at = 3 * ((size_t)y * (size_t)a->width + (size_t)x);

			count += pixel_differs(a->pixels + at, b->pixels + at);
		}
	return count >= TILE_PIXELS_LEAST;
}

/* Tiles that differ, one byte each: 0 none, 1 yes, 2 masked. */
struct tiles {
	unsigned char *at;
	int columns, rows;
};

static unsigned char *tile(const struct tiles *tiles, int column, int row)
{
	return tiles->at + (size_t)row * (size_t)tiles->columns + (size_t)column;
}

/* What moves by itself moves over its edges, too. */
static void mask_around(const struct tiles *tiles, int column, int row)
{
	for (int y = row - 1; y <= row + 1; y++)
		for (int x = column - 1; x <= column + 1; x++)
			if (x >= 0 && y >= 0 && x < tiles->columns && y < tiles->rows)
				*tile(tiles, x, y) = 2;
}

/* Takes the region that begins at a tile, and all that touches it. */
static struct region region_take(const struct tiles *tiles, int column, int row)
{
	int *stack = mem_new_array((size_t)tiles->columns * (size_t)tiles->rows, sizeof(*stack));
	int left = column;
	int right = column;
	int top = row;
	int bottom = row;
	size_t depth = 0;

	stack[depth++] = row * tiles->columns + column;
	*tile(tiles, column, row) = 0;
	while (depth) {
		int at = stack[--depth];
		int x0 = at % tiles->columns;
		int y0 = at / tiles->columns;

		left = x0 < left ? x0 : left;
		right = x0 > right ? x0 : right;
		top = y0 < top ? y0 : top;
		bottom = y0 > bottom ? y0 : bottom;
		for (int y = y0 - 1; y <= y0 + 1; y++)
			for (int x = x0 - 1; x <= x0 + 1; x++)
				if (x >= 0 && y >= 0 && x < tiles->columns && y < tiles->rows && *tile(tiles, x, y) == 1) {
					*tile(tiles, x, y) = 0;
					stack[depth++] = y * tiles->columns + x;
				}
	}
	free(stack);
	return (struct region){left * TILE, top * TILE, (right - left + 1) * TILE, (bottom - top + 1) * TILE};
}

static int region_compare(const void *left, const void *right)
{
	const struct region *a = left;
	const struct region *b = right;

	return b->width * b->height - a->width * a->height;
}

static size_t regions_take(const struct tiles *tiles, struct region regions[PICTURE_REGIONS_MAX])
{
	size_t count = 0;

	for (int row = 0; row < tiles->rows; row++)
		for (int column = 0; column < tiles->columns; column++)
			if (*tile(tiles, column, row) == 1 && count < PICTURE_REGIONS_MAX)
				regions[count++] = region_take(tiles, column, row);
	qsort(regions, count, sizeof(*regions), region_compare);
	return count;
}

int picture_compare(struct view base, struct view again, struct view head, struct region regions[PICTURE_REGIONS_MAX],
		    struct err *err)
{
	AUTO_PICTURE first = {0};
	AUTO_PICTURE second = {0};
	AUTO_PICTURE third = {0};
	struct tiles tiles;
	size_t count;

	if (picture_read(base, &first, err) || picture_read(again, &second, err) || picture_read(head, &third, err))
		return -1;
	if (first.width != third.width || first.height != third.height) {
		regions[0] = (struct region){0, 0, third.width, third.height};
		return first.width == second.width && first.height == second.height;
	}
	if (first.width != second.width || first.height != second.height)
		return 0;
	tiles.columns = (first.width + TILE - 1) / TILE;
	tiles.rows = (first.height + TILE - 1) / TILE;
	tiles.at = mem_new_array((size_t)tiles.columns * (size_t)tiles.rows + 1, 1);
	for (int row = 0; row < tiles.rows; row++)
		for (int column = 0; column < tiles.columns; column++) {
			if (tile_differs(&first, &second, column, row))
				mask_around(&tiles, column, row);
			else if (*tile(&tiles, column, row) == 0)
				*tile(&tiles, column, row) = tile_differs(&first, &third, column, row);
		}
	count = regions_take(&tiles, regions);
	free(tiles.at);
	return (int)count;
}
