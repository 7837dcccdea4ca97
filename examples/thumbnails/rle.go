package main

import (
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"io"
)

// The toy format RLE stands for the many that a program reads with somebody else's decoder, written
// in C and in a hurry. A picture is
//
//	"RLE1", width and height (16 bits each, big endian), packets
//
// and a packet is
//
//	its size in bytes, this one included; then pairs of a count and a grey value
const rleMagic = "RLE1"

const rleHeader = len(rleMagic) + 4 // bytes

func decodeRLEConfig(r io.Reader) (image.Config, error) {
	var h [rleHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return image.Config{}, err
	}
	size := h[len(rleMagic):]
	return image.Config{
		ColorModel: color.GrayModel,
		Width:      int(binary.BigEndian.Uint16(size)),
		Height:     int(binary.BigEndian.Uint16(size[2:])),
	}, nil
}

// decodeRLE has two bugs of the kind that real decoders have, and works well with every picture
// that means no harm.
func decodeRLE(r io.Reader) (image.Image, error) {
	c, err := decodeRLEConfig(r)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	img := image.NewGray(image.Rect(0, 0, c.Width, c.Height))
	pixel := 0
	for pixel < len(img.Pix) {
		if len(data) == 0 || len(data) < int(data[0]) {
			return nil, errors.New("rle: the picture is cut short")
		}
		size := int(data[0])
		for i := 1; i+1 < size; i += 2 {
			count, grey := int(data[i]), data[i+1]
			for range count {
				img.Pix[pixel] = grey // bug: a run may be longer than the picture. C writes on; Go panics.
				pixel++
			}
		}
		data = data[size:] // bug: after a packet of size zero comes the same packet, for ever.
	}
	return img, nil
}
