package main

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// The size of the pictures, in pixels; the thumbnails have an eighth of it.
const width, height = 128, 96

// poison is what a picture does to the process that decodes it.
type poison string

const (
	harmless poison = ""
	crash    poison = "crash"  // names a colour profile that there is not
	loop     poison = "loop"   // has a record of length 0
	memory   poison = "memory" // wants 8 GiB
)

// picture returns a JPEG of one brightness.
func picture(grey uint8, p poison) []byte {
	img := image.NewGray(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = grey
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, img, nil) // does not fail: a Buffer takes everything
	records := map[poison][]byte{
		harmless: {'P', 3, 2},
		crash:    {'P', 3, 9},
		loop:     {'P', 0, 1},
		memory:   {'M', 3, 32},
	}[p]
	const soi = 2 // the bytes that begin a JPEG; then come the segments
	file := append([]byte(nil), b.Bytes()[:soi]...)
	file = append(file, 0xFF, 0xEB, 0, byte(2+len(records)))
	file = append(file, records...)
	return append(file, b.Bytes()[soi:]...)
}

// check checks that a thumbnail is that of picture.
func check(thumb []byte, grey uint8) error {
	img, err := png.Decode(bytes.NewReader(thumb))
	if err != nil {
		return err
	}
	if size := img.Bounds().Size(); size != image.Pt(width/8, height/8) {
		return fmt.Errorf("the thumbnail is of size %v", size)
	}
	if got := color.GrayModel.Convert(img.At(3, 3)).(color.Gray).Y; max(got, grey)-min(got, grey) > 3 {
		return fmt.Errorf("the thumbnail has the brightness %d and should have %d", got, grey)
	}
	return nil
}
