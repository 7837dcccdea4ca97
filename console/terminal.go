package console

import (
	"cmp"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"golang.org/x/term"
)

// Terminal is a terminal that several bars share, and lines above them. Its zero value is the one
// on stderr. All methods may be called from any goroutine. It must not be copied.
//
// It is an io.Writer: what is written to it appears above the bars, where other prints would tear
// them apart. A program that shows a bar gives it to whoever prints meanwhile:
//
//	terminal := &console.Terminal{}
//	app := multiprolab.New(&multiprolab.Config{
//		Stderr: terminal,
//		Logger: slog.New(slog.NewTextHandler(terminal, nil)),
//	})
type Terminal struct {
	// File is the terminal. It defaults to os.Stderr. It may also be something else, such as a file
	// or a pipe: then no bar is shown, and Write writes to it.
	File *os.File

	mu sync.Mutex // guards what is below
	// shown draws the bars. It is nil while there are none.
	shown *mpb.Progress
	// bars is the number of bars in shown.
	bars int
}

// standard is the terminal of those who name none: stderr is one for the whole process, so two bars
// that know nothing of each other meet here.
var standard Terminal

func (t *Terminal) file() *os.File { return cmp.Or(t.File, os.Stderr) }

func (t *Terminal) isTerminal() bool { return term.IsTerminal(int(t.file().Fd())) }

// Write writes lines above the bars, or just writes if there are none. Each call should write whole
// lines: what is missing of the last is added while a bar is shown.
func (t *Terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shown == nil || len(p) == 0 {
		return t.file().Write(p)
	}
	text := p
	if p[len(p)-1] != '\n' {
		text = append(append([]byte(nil), p...), '\n')
	}
	if _, err := t.shown.Write(text); err != nil {
		return t.file().Write(p) // the terminal went away while it was drawn on
	}
	return len(p), nil
}

// add shows one more bar. Who has called it calls remove when the bar is complete or aborted.
func (t *Terminal) add(total int64, filler mpb.BarFillerBuilder, options ...mpb.BarOption) *mpb.Bar {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shown == nil {
		t.shown = mpb.New(mpb.WithOutput(t.file()))
	}
	t.bars++
	return t.shown.New(total, filler, options...)
}

func (t *Terminal) remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bars--; t.bars == 0 {
		t.shown.Wait() // until the last picture is drawn
		t.shown = nil
	}
}

// style is how bars look: with the characters for it where the locale has them.
func style() mpb.BarFillerBuilder {
	s := mpb.BarStyle()
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} { // in the order of POSIX
		if locale := os.Getenv(name); locale != "" {
			if locale = strings.ToLower(locale); strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8") {
				return s.Lbound("").Filler("━").Tip("━").Padding("─").Rbound("")
			}
			break
		}
	}
	return s.Lbound("[").Filler("#").Tip("#").Padding(".").Rbound("]")
}

var _ io.Writer = (*Terminal)(nil)
