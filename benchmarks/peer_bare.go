//go:build !solo || solo_bare

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// The bare pipe is what all others are compared with: frames over the pipes of a child process, and
// nothing else. A frame is the length of its body in four bytes, its kind in one, and the body.

const (
	kindItem     byte = iota + 1 // an encoded item; answered with the same
	kindBytes                    // answered with the same
	kindOneItem                  // not answered
	kindOneBytes                 // not answered
	kindMark                     // answered with the tally since the last one
	kindTasks                    // tasks of 16 bytes; answered with results of 8 bytes
	kindAsk                      // a number; answered with the number plus the second one, the index of the worker
	kindRelay                    // a number n: the worker sends n kindItem to main, which passes them on
	kindRelayEnd                 // the nanoseconds of each of these
	frameHeader  = 5
)

type framed struct {
	r    *bufio.Reader
	w    *bufio.Writer
	in   []byte // the last body read
	out  []byte // scratch of the writer
	head [frameHeader]byte
	hin  [frameHeader]byte
}

func newFramed(r io.Reader, w io.Writer) *framed {
	return &framed{r: bufio.NewReaderSize(r, pipeBufferSize), w: bufio.NewWriterSize(w, pipeBufferSize)}
}

// read returns the next frame. The body is good until the next read.
func (f *framed) read() (kind byte, body []byte, err error) {
	if _, err := io.ReadFull(f.r, f.hin[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(f.hin[:]))
	if n > cap(f.in) {
		f.in = make([]byte, n)
	}
	f.in = f.in[:n]
	if _, err := io.ReadFull(f.r, f.in); err != nil {
		return 0, nil, err
	}
	return f.hin[4], f.in, nil
}

// expect reads a frame that must be of a kind.
func (f *framed) expect(kind byte) ([]byte, error) {
	k, body, err := f.read()
	if err == nil && k != kind {
		err = fmt.Errorf("a frame of kind %d came instead of one of kind %d", k, kind)
	}
	return body, err
}

// write puts a frame into the buffer; a body that is larger than the buffer goes out directly.
func (f *framed) write(kind byte, body []byte) error {
	binary.LittleEndian.PutUint32(f.head[:], uint32(len(body)))
	f.head[4] = kind
	if _, err := f.w.Write(f.head[:]); err != nil {
		return err
	}
	_, err := f.w.Write(body)
	return err
}

// send is write, and flush.
func (f *framed) send(kind byte, body []byte) error {
	if err := f.write(kind, body); err != nil {
		return err
	}
	return f.w.Flush()
}

func (f *framed) writeItem(kind byte, i *Item) error {
	f.out = appendItem(f.out[:0], i)
	return f.write(kind, f.out)
}

// callItem sends an item and reads its echo.
func (f *framed) callItem(i Item) (Item, error) {
	if err := f.writeItem(kindItem, &i); err != nil {
		return Item{}, err
	}
	if err := f.w.Flush(); err != nil {
		return Item{}, err
	}
	body, err := f.expect(kindItem)
	if err != nil {
		return Item{}, err
	}
	return decodeItem(body)
}

// bareWorker is the life of a worker process at the end of a bare pipe.
func bareWorker() error {
	f := newFramed(os.Stdin, os.Stdout)
	var seen Tally
	for {
		kind, body, err := f.read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch kind {
		case kindItem:
			var i Item
			if i, err = decodeItem(body); err == nil {
				if err = f.writeItem(kindItem, &i); err == nil {
					err = f.w.Flush()
				}
			}
		case kindBytes:
			err = f.send(kindBytes, body)
		case kindOneItem:
			var i Item
			i, err = decodeItem(body)
			seen.item(&i)
		case kindOneBytes:
			seen.bytes(body)
		case kindMark:
			b := binary.LittleEndian.AppendUint64(nil, seen.Messages)
			err = f.send(kindMark, binary.LittleEndian.AppendUint64(b, seen.Sum))
			seen = Tally{}
		case kindTasks:
			f.out = f.out[:0]
			for ; len(body) >= 16; body = body[16:] {
				t := Task{binary.LittleEndian.Uint64(body), binary.LittleEndian.Uint64(body[8:])}
				f.out = binary.LittleEndian.AppendUint64(f.out, t.spin())
			}
			err = f.send(kindTasks, f.out)
		case kindAsk:
			sum := binary.LittleEndian.Uint64(body) + binary.LittleEndian.Uint64(body[8:])
			err = f.send(kindAsk, binary.LittleEndian.AppendUint64(nil, sum))
		case kindRelay:
			err = bareRelay(f, int(binary.LittleEndian.Uint64(body)))
		default:
			err = fmt.Errorf("a frame of kind %d", kind)
		}
		if err != nil {
			return err
		}
	}
}

// bareRelay is the part of the worker that asks another one, through main.
func bareRelay(f *framed, n int) error {
	times, err := timeItems(n, f.callItem)
	if err != nil {
		return err
	}
	var b []byte
	for _, t := range times {
		b = binary.LittleEndian.AppendUint64(b, uint64(t))
	}
	return f.send(kindRelayEnd, b)
}

var _ = role("bare", bareWorker)

// barePeer lives in main.
type barePeer struct {
	title    string
	batched  bool // streams are flushed when the buffer is full, not after each message; tasks go in frames of 64
	pipeSize int  // of the pipes, in bytes; 0 leaves them as they are
	children []*child
	pipes    []*framed
}

func (p *barePeer) name() string { return p.title }

func (p *barePeer) start(workers int) error {
	for range workers {
		c, err := startChild("bare")
		if err != nil {
			return errors.Join(err, p.stop())
		}
		p.children = append(p.children, c)
		p.pipes = append(p.pipes, newFramed(c.out, c.in))
		if p.pipeSize > 0 {
			if err := errors.Join(setPipeSize(c.in, p.pipeSize), setPipeSize(c.out, p.pipeSize)); err != nil {
				return errors.Join(err, p.stop())
			}
		}
	}
	return nil
}

func (p *barePeer) stop() error {
	err := stopAll(p.children)
	p.children, p.pipes = nil, nil
	return err
}

func (p *barePeer) pid() int { return p.children[0].cmd.Process.Pid }

func (p *barePeer) callItem(i Item) (Item, error) { return p.pipes[0].callItem(i) }

func (p *barePeer) callBytes(b []byte) ([]byte, error) {
	f := p.pipes[0]
	// A body that does not fit into the two pipes is safe: the worker reads all of it before it
	// answers.
	if err := f.send(kindBytes, b); err != nil {
		return nil, err
	}
	return f.expect(kindBytes)
}

func (p *barePeer) streamItems(n int) (Tally, error) {
	f := p.pipes[0]
	for k := range n {
		i := sampleItem(uint64(k))
		if err := f.writeItem(kindOneItem, &i); err != nil {
			return Tally{}, err
		}
		if !p.batched {
			if err := f.w.Flush(); err != nil {
				return Tally{}, err
			}
		}
	}
	return p.mark()
}

func (p *barePeer) streamBytes(n int, b []byte) (Tally, error) {
	f := p.pipes[0]
	for k := range n {
		number(b, k)
		if err := f.write(kindOneBytes, b); err != nil {
			return Tally{}, err
		}
		if !p.batched {
			if err := f.w.Flush(); err != nil {
				return Tally{}, err
			}
		}
	}
	return p.mark()
}

func (p *barePeer) mark() (Tally, error) {
	f := p.pipes[0]
	if err := f.send(kindMark, nil); err != nil {
		return Tally{}, err
	}
	b, err := f.expect(kindMark)
	if err != nil {
		return Tally{}, err
	}
	return Tally{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}, nil
}

// relay passes frames between the two workers without decoding them.
func (p *barePeer) relay(n int) ([]int64, error) {
	a, b := p.pipes[0], p.pipes[1]
	if err := a.send(kindRelay, binary.LittleEndian.AppendUint64(nil, uint64(n))); err != nil {
		return nil, err
	}
	for {
		kind, body, err := a.read()
		if err != nil {
			return nil, err
		}
		if kind == kindRelayEnd {
			times := make([]int64, 0, len(body)/8)
			for ; len(body) >= 8; body = body[8:] {
				times = append(times, int64(binary.LittleEndian.Uint64(body)))
			}
			return times, nil
		}
		if err := b.send(kind, body); err != nil {
			return nil, err
		}
		if kind, body, err = b.read(); err != nil {
			return nil, err
		}
		if err := a.send(kind, body); err != nil {
			return nil, err
		}
	}
}

// farm has two frames with each worker: the one that it works on, and the next. A frame is one
// task, or 64 of them.
func (p *barePeer) farm(j job) (uint64, error) {
	chunk := 1
	if p.batched {
		chunk = min(64, max(1, j.tasks/(8*len(p.pipes))))
	}
	var (
		mu   sync.Mutex // guards next
		next int
	)
	take := func() (from, to int) {
		mu.Lock()
		defer mu.Unlock()
		from = next
		next = min(next+chunk, j.tasks)
		return from, next
	}
	type outcome struct {
		sum uint64
		err error
	}
	done := make(chan outcome, len(p.pipes))
	for _, f := range p.pipes {
		go func() {
			var sum uint64
			waiting := 0
			var out []byte
			for more := true; ; {
				for more && waiting < 2 {
					from, to := take()
					if more = from < to; !more {
						break
					}
					out = out[:0]
					for i := from; i < to; i++ {
						t := j.task(i)
						out = binary.LittleEndian.AppendUint64(out, t.Seed)
						out = binary.LittleEndian.AppendUint64(out, t.Steps)
					}
					if err := f.send(kindTasks, out); err != nil {
						done <- outcome{err: err}
						return
					}
					waiting++
				}
				if waiting == 0 {
					done <- outcome{sum: sum}
					return
				}
				body, err := f.expect(kindTasks)
				if err != nil {
					done <- outcome{err: err}
					return
				}
				waiting--
				for ; len(body) >= 8; body = body[8:] {
					sum += binary.LittleEndian.Uint64(body)
				}
			}
		}()
	}
	var sum uint64
	var errs []error
	for range p.pipes {
		o := <-done
		sum += o.sum
		errs = append(errs, o.err)
	}
	return sum, errors.Join(errs...)
}

// ask writes to all, then reads from all.
func (p *barePeer) ask(q uint64) (uint64, error) {
	for n, f := range p.pipes {
		b := binary.LittleEndian.AppendUint64(nil, q)
		if err := f.send(kindAsk, binary.LittleEndian.AppendUint64(b, uint64(n))); err != nil {
			return 0, err
		}
	}
	var sum uint64
	for _, f := range p.pipes {
		b, err := f.expect(kindAsk)
		if err != nil {
			return 0, err
		}
		sum += binary.LittleEndian.Uint64(b)
	}
	return sum, nil
}
