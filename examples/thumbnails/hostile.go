package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
)

// madePictures makes the pictures that a stranger would send, and a harmless one of the toy format.
func madePictures() map[string][]byte {
	return map[string][]byte{
		"hostile-truncated.png": truncated(),
		"hostile-bomb.png":      bomb(),
		"hostile-endless.rle":   rle(64, 64, 0),              // a packet that never advances: see decodeRLE
		"hostile-crash.rle":     rle(4, 4, 3, 255, 0),        // a run of 255 pixels for a picture of 16
		"harmless.rle":          rle(4, 2, 5, 4, 64, 4, 192), // a dark row and a bright one
	}
}

// truncated is the first half of a good picture.
func truncated() []byte {
	img := image.NewGray(image.Rect(0, 0, 200, 200))
	for i := range img.Pix {
		img.Set(i%200, i/200, color.Gray{Y: uint8(i * i)})
	}
	var b bytes.Buffer
	_ = png.Encode(&b, img) // does not fail: a Buffer takes everything
	return b.Bytes()[:b.Len()/2]
}

// bomb is a picture of a few hundred bytes that unfolds to 10 GB: a decoder makes room for all
// pixels before it reads the first.
func bomb() []byte {
	const side = 50_000 // pixels
	header := binary.BigEndian.AppendUint32(nil, side)
	header = binary.BigEndian.AppendUint32(header, side)
	header = append(header, 8, 2, 0, 0, 0) // 8 bits, RGB, the usual compression, filter, order of rows

	var rows bytes.Buffer
	z := zlib.NewWriter(&rows)
	_, _ = z.Write(make([]byte, 1+3*side)) // one black row; as above, nothing fails here
	_ = z.Close()

	file := []byte("\x89PNG\r\n\x1a\n")
	file = appendChunk(file, "IHDR", header)
	return appendChunk(file, "IDAT", rows.Bytes())
}

// appendChunk appends a chunk as PNG has them: length, type, data, checksum of type and data.
func appendChunk(file []byte, typ string, data []byte) []byte {
	file = binary.BigEndian.AppendUint32(file, uint32(len(data)))
	body := append([]byte(typ), data...)
	file = append(file, body...)
	return binary.BigEndian.AppendUint32(file, crc32.ChecksumIEEE(body))
}

// rle is a picture in the toy format.
func rle(width, height uint16, packets ...byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte(rleMagic), width)
	b = binary.BigEndian.AppendUint16(b, height)
	return append(b, packets...)
}
