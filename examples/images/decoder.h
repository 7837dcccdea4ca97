#include <stddef.h>

// A picture, as decode leaves it: 3 bytes for each pixel, to be freed by who has called.
struct picture {
	int width, height;
	unsigned char *pixels;
	char error[256]; // why there are none
};

// Decodes a JPEG, at an eighth of its size. Returns 0, or -1 with an error.
int decode(const unsigned char *data, size_t size, struct picture *p);
