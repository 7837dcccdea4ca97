package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	_ "image/gif"
	_ "image/jpeg"
	"image/png"
	"os"

	"github.com/multiprolab/multiprolab"
)

// maxMemory bounds the data of a decoder process, in bytes. It is ample for a photograph and
// nothing for a bomb.
const maxMemory = 512 << 20

// decoder is the setup function of the decoders: all that follows is in their processes only.
func decoder(ctx context.Context, w *multiprolab.Worker) error {
	if err := limitMemory(maxMemory); err != nil {
		return err
	}
	image.RegisterFormat("rle", rleMagic, decodeRLE, decodeRLEConfig)
	self := Decoder{Name: w.Name(), PID: os.Getpid()}

	multiprolab.HandleTask(w, "thumbnail", func(ctx context.Context, p Picture) ([]byte, error) {
		if err := multiprolab.Progress(ctx, self); err != nil {
			return nil, err
		}
		// image.Decode knows nothing of contexts, and a goroutine cannot be stopped from outside.
		// There is no need: main kills this process when the deadline has passed.
		return thumbnail(p)
	})
	return multiprolab.Send(ctx, w, "server", "hello", self)
}

// thumbnail decodes a picture, scales it and encodes it as a PNG.
func thumbnail(p Picture) ([]byte, error) {
	if !memoryLimited { // the next best: to believe what the picture says of itself
		c, _, err := image.DecodeConfig(bytes.NewReader(p.Data))
		if err != nil {
			return nil, err
		}
		const bytesPerPixel = 8 // at most
		if int64(c.Width)*int64(c.Height) > maxMemory/bytesPerPixel {
			return nil, fmt.Errorf("%d x %d pixels are too many", c.Width, c.Height)
		}
	}
	img, _, err := image.Decode(bytes.NewReader(p.Data))
	if err != nil {
		return nil, err
	}
	if img.Bounds().Empty() {
		return nil, fmt.Errorf("the picture has no pixels")
	}
	var out bytes.Buffer
	err = png.Encode(&out, scale(img, p.Width))
	return out.Bytes(), err
}

// scale scales to a width. Each pixel is the mean of the box of pixels that it stands for, or the
// nearest one if there is less than one.
func scale(src image.Image, width int) image.Image {
	b := src.Bounds()
	height := max(1, b.Dy()*width/b.Dx())
	height = min(height, 4*width) // a strip of one pixel by a million is squeezed
	dst := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		top, bottom := b.Min.Y+y*b.Dy()/height, b.Min.Y+(y+1)*b.Dy()/height
		for x := range width {
			left, right := b.Min.X+x*b.Dx()/width, b.Min.X+(x+1)*b.Dx()/width
			dst.Set(x, y, mean(src, image.Rect(left, top, max(right, left+1), max(bottom, top+1))))
		}
	}
	return dst
}

func mean(src image.Image, box image.Rectangle) color.Color {
	var r, g, b, a, n uint64
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			pr, pg, pb, pa := src.At(x, y).RGBA()
			r, g, b, a, n = r+uint64(pr), g+uint64(pg), b+uint64(pb), a+uint64(pa), n+1
		}
	}
	return color.RGBA64{R: uint16(r / n), G: uint16(g / n), B: uint16(b / n), A: uint16(a / n)}
}
