package console

import (
	"bytes"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"golang.org/x/term"
)

// screen is a terminal with bars on it. All that is written to it goes through here, by whichever
// file.
type screen struct {
	// file is the terminal, and info is which one it is. They do not change.
	file *os.File
	info os.FileInfo
	// users is the number of bars in it, or to come. The mutex of registry guards it.
	users int

	mu sync.Mutex // guards what is below
	// shown draws the bars. It is nil while there are none.
	shown *mpb.Progress
	// bars is the number of bars in shown.
	bars int
}

// registry is the screens of the process.
type registry struct {
	mu  sync.Mutex // guards all
	all []*screen
}

var screens registry

// of returns the screen that a file is, or nil if there is no bar on it.
func (r *registry) of(f *os.File) *screen {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.find(f)
}

// find is of. The caller holds r.mu.
func (r *registry) find(f *os.File) *screen {
	if len(r.all) == 0 {
		return nil // which is the usual case
	}
	info, err := f.Stat()
	for _, s := range r.all {
		if s.file == f || err == nil && s.info != nil && os.SameFile(s.info, info) {
			return s
		}
	}
	return nil
}

// use returns the screen that a file is, until leave.
func (r *registry) use(f *os.File) *screen {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.find(f)
	if s == nil {
		s = &screen{file: f}
		if info, err := f.Stat(); err == nil {
			s.info = info
		}
		r.all = append(r.all, s)
	}
	s.users++
	return s
}

func (r *registry) leave(s *screen) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.users--; s.users == 0 {
		r.all = slices.DeleteFunc(r.all, func(other *screen) bool { return other == s })
	}
}

// add shows one more bar on a terminal. Who has called it calls remove when the bar is complete or
// aborted.
func (r *registry) add(f *os.File, filler mpb.BarFillerBuilder, options ...mpb.BarOption) (*screen, *mpb.Bar) {
	s := r.use(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil {
		s.shown = mpb.New(mpb.WithConsoleWriter(newWindow(s.file)))
	}
	s.bars++
	// a bar with a total would be complete when it is reached, and not when the results end
	return s, s.shown.New(0, filler, options...)
}

func (r *registry) remove(s *screen) {
	defer r.leave(s)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars--; s.bars == 0 {
		s.shown.Wait() // until the last picture is drawn
		s.shown = nil
	}
}

// isTerminal reports whether a file is a terminal. It leaves the file as it is, where File.Fd would
// have its reads and writes block.
func isTerminal(f *os.File) (is bool) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false
	}
	err = conn.Control(func(fd uintptr) { is = term.IsTerminal(int(fd)) })
	return is && err == nil
}

// window is what the library of the bars draws on: the part of a picture that the terminal has room
// for. Of a picture that is too high the library itself would show the end, without the bar.
type window struct {
	terminal *cupwriter.Writer
	picture  bytes.Buffer // what has not been drawn
	height   int          // how many lines the terminal had when it was last asked; 0 is not known
}

func newWindow(f *os.File) *window { return &window{terminal: cupwriter.New(f, false)} }

func (w *window) Write(p []byte) (int, error)         { return w.picture.Write(p) }
func (w *window) ReadFrom(r io.Reader) (int64, error) { return w.picture.ReadFrom(r) }
func (w *window) IsTerminal() bool                    { return w.terminal.IsTerminal() }
func (w *window) GetTermSize() (width, height int, err error) {
	width, w.height, err = w.terminal.GetTermSize()
	if width <= 0 { // some terminals do not tell
		width = 80
	}
	return width, 1 << 16, err
}

// Flush draws the lines that were printed, and of the bars, which are the last ones, as many as
// there is room for above the line of the cursor.
func (w *window) Flush(bars int) error {
	defer w.picture.Reset()
	text, room := w.picture.Bytes(), bars
	if w.height > 0 {
		room = min(bars, w.height-1)
	}
	for range bars - room {
		text = text[:1+bytes.LastIndexByte(text[:max(0, len(text)-1)], '\n')]
	}
	if _, err := w.terminal.Write(text); err != nil {
		return err
	}
	return w.terminal.Flush(room)
}
