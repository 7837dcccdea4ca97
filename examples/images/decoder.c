// A decoder of JPEG files, around libjpeg. Like many a decoder it has an extension of its own, hints
// in an APP11 segment, and there it has three bugs of the kinds that decoders have.
#include "decoder.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

struct failure {
	struct jpeg_error_mgr manager;
	jmp_buf back;
	char *text;
};

static void fail(j_common_ptr c) {
	struct failure *f = (struct failure *)c->err;
	char text[JMSG_LENGTH_MAX];
	c->err->format_message(c, text);
	snprintf(f->text, sizeof(((struct picture *)0)->error), "%s", text);
	longjmp(f->back, 1);
}

static void ignore(j_common_ptr c, int level) {}

// xmalloc returns memory, or ends the process, as it does in many a C program.
static void *xmalloc(size_t size) {
	void *p = malloc(size);
	if (p == NULL) {
		fprintf(stderr, "decoder: cannot allocate memory: %zu bytes\n", size);
		exit(1);
	}
	return p;
}

struct profile {
	int number;
	double gamma;
};

static const struct profile profiles[] = {{1, 1.0}, {2, 2.2}};

static const struct profile *find(int number) {
	for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++)
		if (profiles[i].number == number)
			return &profiles[i];
	return NULL;
}

// hints reads the records of the extension: a kind, the length of the record, and its value.
static double hints(const unsigned char *at, size_t left) {
	volatile double gamma = 1.0;
	while (left >= 3) {
		switch (at[0]) {
		case 'P': // the colour profile: what if there is none of this number?
			gamma = find(at[2])->gamma;
			break;
		case 'M': { // memory for tiles, in units of 256 MiB: as many as the file says?
			size_t size = (size_t)at[2] << 28;
			unsigned char *tiles = xmalloc(size);
			memset(tiles, at[2], size);
			gamma += tiles[size - 1] == 0;
			free(tiles);
			break;
		}
		}
		if (at[1] > left)
			break;
		left -= at[1]; // what if the length is 0?
		at += at[1];
	}
	return gamma;
}

int decode(const unsigned char *data, size_t size, struct picture *p) {
	struct jpeg_decompress_struct c;
	struct failure f;
	memset(p, 0, sizeof *p);
	c.err = jpeg_std_error(&f.manager);
	f.manager.error_exit = fail;
	f.manager.emit_message = ignore;
	f.text = p->error;
	if (setjmp(f.back)) {
		jpeg_destroy_decompress(&c);
		free(p->pixels);
		p->pixels = NULL;
		return -1;
	}
	jpeg_create_decompress(&c);
	jpeg_mem_src(&c, data, size);
	jpeg_save_markers(&c, JPEG_APP0 + 11, 0xFFFF);
	jpeg_read_header(&c, TRUE);
	for (jpeg_saved_marker_ptr m = c.marker_list; m != NULL; m = m->next)
		hints(m->data, m->data_length);
	c.out_color_space = JCS_RGB;
	c.scale_num = 1;
	c.scale_denom = 8;
	jpeg_start_decompress(&c);
	p->width = c.output_width;
	p->height = c.output_height;
	p->pixels = xmalloc((size_t)3 * p->width * p->height);
	while (c.output_scanline < c.output_height) {
		JSAMPROW row = p->pixels + (size_t)3 * p->width * c.output_scanline;
		jpeg_read_scanlines(&c, &row, 1);
	}
	jpeg_finish_decompress(&c);
	jpeg_destroy_decompress(&c);
	return 0;
}
