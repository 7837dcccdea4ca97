package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	// readBuffer is the size of the buffer in bytes. It has room for a whole frame without its
	// body.
	readBuffer = 72 << 10
	// firstChunk bounds the memory in bytes that is taken only because a header says so: the memory
	// for a longer body grows as its bytes come.
	firstChunk = 1 << 20
	// Bodies of up to smallBody bytes are cut from chunks of smallChunk bytes. Somebody who keeps
	// one small body keeps a whole chunk in memory.
	smallBody, smallChunk = 512, 8 << 10
	// maxInterned bounds the names that a reader remembers, and so what a peer that invents names
	// can make it hold.
	maxInterned = 4096
)

// CorruptError reports bytes that are no frame. The stream cannot be read any further.
type CorruptError struct {
	Offset int64  // where in the stream the frame begins, in bytes
	Reason string // what is wrong with the frame, as a sentence without a full stop
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt frame at byte %d: %s", e.Offset, e.Reason)
}

// Reader reads frames from a stream. It trusts nothing that it reads. One goroutine at a time may
// use it.
type Reader struct {
	// Shared returns a body that lies in shared memory. If it is nil, no body may lie there.
	Shared func(at uint64, length int) ([]byte, error)

	r       *bufio.Reader     // the buffer, which reads from source
	source  source            // the stream below the buffer
	maxBody int               // the greatest length of a body in bytes
	offset  int64             // how many bytes of the stream were returned as frames, or skipped
	mark    int64             // what offset was after SkipPast
	names   map[string]string // the names that were read so far, at most maxInterned
	last    [3]string         // To, From and Type of the last frame, which mostly come again
	small   []byte            // the rest of the chunk from which small bodies are cut
}

// NewReader returns a Reader that refuses bodies over maxBody bytes; zero or less means MaxBody.
func NewReader(r io.Reader, maxBody int) *Reader {
	rd := &Reader{source: source{r: r}, names: map[string]string{}}
	rd.r = bufio.NewReaderSize(&rd.source, readBuffer)
	rd.Limit(maxBody)
	return rd
}

// source is the stream below the buffer of a Reader, whose goroutine alone uses it.
type source struct {
	r       io.Reader // the stream
	inFrame bool      // the header of a frame was read, and the rest of the frame was not
}

// Read reads from the stream. Within a frame a deadline does not count, because the rest of the
// frame is on its way.
func (s *source) Read(p []byte) (int, error) {
	for {
		n, err := s.r.Read(p)
		switch {
		case n > 0 || err == nil:
			return n, nil
		case s.inFrame && errors.Is(err, os.ErrDeadlineExceeded):
			if d, ok := s.r.(interface{ SetReadDeadline(time.Time) error }); ok {
				_ = d.SetReadDeadline(time.Time{})
			}
		default:
			return 0, err
		}
	}
}

// Position returns the number of bytes of the frames that Next has returned since SkipPast.
func (r *Reader) Position() int64 { return r.offset - r.mark }

// Ready reports whether the next frame is in the buffer, or bytes that are no frame, so that Next
// does not wait.
func (r *Reader) Ready() bool {
	n := r.r.Buffered()
	if n < HeaderSize {
		return false
	}
	h, _ := r.r.Peek(HeaderSize)
	size := uint64(HeaderSize) + uint64(h[28]) + uint64(h[29]) + uint64(h[30]) + uint64(h[31]) +
		uint64(binary.LittleEndian.Uint16(h[6:])) + uint64(binary.LittleEndian.Uint32(h[24:]))
	return size <= uint64(n)
}

// Release gives up the memory of the Reader, which returns io.EOF from now on.
func (r *Reader) Release() {
	r.source.r = eof{}
	r.r = bufio.NewReaderSize(&r.source, 0)
	r.names, r.small, r.last, r.Shared = nil, nil, [3]string{}, nil
}

// eof is an empty stream.
type eof struct{}

func (eof) Read([]byte) (int, error) { return 0, io.EOF }

// Limit sets the greatest length of a body in bytes; zero or less means MaxBody.
func (r *Reader) Limit(maxBody int) {
	if maxBody <= 0 || maxBody > MaxBody {
		maxBody = MaxBody
	}
	r.maxBody = maxBody
}

// Buffered returns the number of bytes that have been read from the stream and not yet returned as
// frames.
func (r *Reader) Buffered() int { return r.r.Buffered() }

// SkipPast reads up to and including the first occurrence of mark and hands everything before it to
// before, in order. It serves the start of a stream, where stray output may come before the first
// frame. The slices that before gets are valid only during the call.
func (r *Reader) SkipPast(mark []byte, before func([]byte)) error {
	var held []byte // a suffix of what was read that may be the beginning of mark
	for {
		if _, err := r.r.Peek(1); err != nil {
			if len(held) > 0 {
				before(held)
			}
			return err
		}
		chunk, _ := r.r.Peek(r.r.Buffered())
		held = append(held, chunk...)
		if i := bytes.Index(held, mark); i >= 0 {
			if i > 0 {
				before(held[:i])
			}
			err := r.skip(len(chunk) - (len(held) - i - len(mark)))
			r.mark = r.offset
			return err
		}
		if err := r.skip(len(chunk)); err != nil {
			return err
		}
		if n := len(held) - overlap(held, mark); n > 0 {
			before(held[:n])
			held = append(held[:0], held[n:]...)
		}
	}
}

// skip passes over n bytes of the stream.
func (r *Reader) skip(n int) error {
	n, err := r.r.Discard(n)
	r.offset += int64(n)
	return err
}

// overlap returns the length of the longest suffix of s that is a proper prefix of mark.
func overlap(s, mark []byte) int {
	for n := min(len(s), len(mark)-1); n > 0; n-- {
		if bytes.HasSuffix(s, mark[:n]) {
			return n
		}
	}
	return 0
}

// Next reads the next frame into f. It returns io.EOF at the end of the stream, io.ErrUnexpectedEOF
// if the stream ends within a frame, a *CorruptError for bytes that are no frame, a *SizeError for
// a body over the limit, or the error of the stream. After an error the Reader is of no further
// use, except after os.ErrDeadlineExceeded, which comes only between two frames.
func (r *Reader) Next(f *Frame) error {
	r.source.inFrame = false
	h, err := r.r.Peek(HeaderSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(h) > 0 {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if h[0] != magic0 || h[1] != magic1 {
		return r.corrupt("it starts with %#02x %#02x instead of the magic number", h[0], h[1])
	}
	if Checksum(h) != binary.LittleEndian.Uint32(h[32:]) {
		return r.corrupt("the checksum of the header does not match")
	}
	if h[2] != Version {
		return r.corrupt("it has version %d of the wire, this end has version %d", h[2], Version)
	}
	if k := Kind(h[3]); k == 0 || k >= kindEnd {
		return r.corrupt("kind %d does not exist", h[3])
	}
	timed, headed := h[31]&leftSize != 0, h[31]&headerLenSize != 0
	if h[31]&^(leftSize|headerLenSize) != 0 {
		return r.corrupt("what comes before its texts takes %d bytes", h[31])
	}
	f.Kind, f.Flags, f.Encoding = Kind(h[3]), Flags(h[4]), h[5]
	f.setWords(binary.LittleEndian.Uint64(h[8:]), binary.LittleEndian.Uint64(h[16:]))
	metaLen := int(binary.LittleEndian.Uint16(h[6:]))
	bodyLen := int64(binary.LittleEndian.Uint32(h[24:]))
	toLen, fromLen, typeLen, toStart := int(h[28]), int(h[29]), int(h[30]), HeaderSize+int(h[31])
	if bodyLen > int64(r.maxBody) {
		return &SizeError{"body", bodyLen, int64(r.maxBody)}
	}
	r.source.inFrame = true
	typeEnd := toStart + toLen + fromLen + typeLen
	ahead := typeEnd + metaLen // MaxMeta fits in the buffer
	if bodyLen <= smallBody {
		ahead += int(bodyLen)
	}
	if h, err = r.r.Peek(ahead); err != nil {
		return unexpected(err)
	}
	f.Left, f.Header = 0, ""
	if timed {
		if f.Left = time.Duration(binary.LittleEndian.Uint64(h[HeaderSize:])); f.Left <= 0 {
			return r.corrupt("the time that is left is %d ns", f.Left)
		}
	}
	metaEnd := typeEnd + metaLen
	if headed {
		n := int(binary.LittleEndian.Uint16(h[toStart-headerLenSize:]))
		if n == 0 || n > metaLen {
			return r.corrupt("its headers have %d bytes, of %d for Meta and them", n, metaLen)
		}
		f.Header = string(h[metaEnd-n : metaEnd])
		metaLen -= n
	}
	f.To = r.name(h[toStart:toStart+toLen], &r.last[0])
	f.From = r.name(h[toStart+toLen:typeEnd-typeLen], &r.last[1])
	f.Type = r.name(h[typeEnd-typeLen:typeEnd], &r.last[2])
	f.Meta = string(h[typeEnd : typeEnd+metaLen])
	f.Body = r.smallCopy(h[metaEnd:])
	if _, err := r.r.Discard(ahead); err != nil {
		return err
	}
	if bodyLen > smallBody {
		if f.Body, err = r.bytes(int(bodyLen)); err != nil {
			return err
		}
	}
	size := f.Size()
	if f.Flags&FlagShared != 0 {
		if err := r.shared(f); err != nil {
			return err
		}
	}
	r.offset += int64(size)
	return nil
}

// shared replaces the place in the body of f by the body that lies there in shared memory.
func (r *Reader) shared(f *Frame) (err error) {
	if r.Shared == nil || len(f.Body) != sharedSize {
		return r.corrupt("its body is in shared memory, and there is none or it has no place there")
	}
	at, length := binary.LittleEndian.Uint64(f.Body), int64(binary.LittleEndian.Uint32(f.Body[8:]))
	if length > int64(r.maxBody) {
		return &SizeError{"body", length, int64(r.maxBody)}
	}
	f.Flags &^= FlagShared
	f.Body, err = r.Shared(at, int(length))
	return err
}

// corrupt makes the error for the present frame.
func (r *Reader) corrupt(format string, args ...any) error {
	return &CorruptError{Offset: r.offset, Reason: fmt.Sprintf(format, args...)}
}

// name returns a name that was read. Names repeat, so each is kept once. The name that came in the
// same place of the last frame is in last.
func (r *Reader) name(b []byte, last *string) string {
	if len(b) == 0 {
		return ""
	}
	if *last != string(b) {
		s, ok := r.names[string(b)]
		if !ok {
			s = string(b)
			if len(r.names) < maxInterned {
				r.names[s] = s
			}
		}
		*last = s
	}
	return *last
}

// smallCopy copies a body of up to smallBody bytes. Many of them share their memory.
func (r *Reader) smallCopy(body []byte) []byte {
	n := len(body)
	if n == 0 {
		return nil
	}
	if len(r.small) < n {
		r.small = make([]byte, smallChunk)
	}
	b := r.small[:n:n]
	r.small = r.small[n:]
	copy(b, body)
	return b
}

// bytes reads a body that is not small.
func (r *Reader) bytes(n int) ([]byte, error) {
	b := make([]byte, min(n, firstChunk))
	for got := 0; ; {
		m, err := io.ReadFull(r.r, b[got:])
		if err != nil {
			return nil, unexpected(err)
		}
		got += m
		if got == n {
			return b, nil
		}
		next := n
		if got < n/4 {
			next = 4 * got
		}
		grown := make([]byte, next)
		copy(grown, b)
		b = grown
	}
}

// unexpected turns an end of the stream within a frame into io.ErrUnexpectedEOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
