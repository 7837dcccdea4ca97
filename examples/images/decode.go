package main

// #cgo LDFLAGS: -ljpeg
// #include <stdlib.h>
// #include "decoder.h"
import "C"

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/png"
	"unsafe"
)

// thumbnail decodes a JPEG in C, at an eighth of its size, and returns it as a PNG.
func thumbnail(data []byte) ([]byte, error) {
	if len(data) == 0 {
		return nil, errors.New("the picture is empty")
	}
	var p C.struct_picture
	if C.decode((*C.uchar)(unsafe.SliceData(data)), C.size_t(len(data)), &p) != 0 {
		return nil, errors.New(C.GoString(&p.error[0]))
	}
	defer C.free(unsafe.Pointer(p.pixels))
	pixels := unsafe.Slice((*byte)(p.pixels), 3*int(p.width)*int(p.height))
	img := image.NewRGBA(image.Rect(0, 0, int(p.width), int(p.height)))
	for y := range int(p.height) {
		for x := range int(p.width) {
			at := pixels[3*(y*int(p.width)+x):]
			img.SetRGBA(x, y, color.RGBA{R: at[0], G: at[1], B: at[2], A: 255})
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestSpeed}
	err := encoder.Encode(&out, img)
	return out.Bytes(), err
}
