package console

import (
	"cmp"
	"io"
	"os"
	"strings"

	"github.com/vbauerster/mpb/v8"
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
//
// Two Terminals on one terminal, such as those on stdout and on stderr, share its bars: a program
// prints its results to &console.Terminal{File: os.Stdout}, and they are above the bar on stderr,
// or in the file that stdout is redirected to.
type Terminal struct {
	// File is the terminal. It defaults to os.Stderr. It may also be something else, such as a file
	// or a pipe: then no bar is shown, and Write writes to it.
	File *os.File
}

// standard is the terminal of those who name none.
var standard Terminal

func (t *Terminal) file() *os.File { return cmp.Or(t.File, os.Stderr) }

// isTerminal reports whether there can be bars: a terminal that is said to be dumb cannot move its
// cursor.
func (t *Terminal) isTerminal() bool {
	return os.Getenv("TERM") != "dumb" && isTerminal(t.file())
}

// Write writes lines above the bars, or just writes if there are none. Each call should write whole
// lines: what is missing of the last is added while a bar is shown.
func (t *Terminal) Write(p []byte) (int, error) {
	f := t.file()
	s := screens.of(f)
	if s == nil || len(p) == 0 {
		return f.Write(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown == nil {
		return f.Write(p)
	}
	text := p
	if p[len(p)-1] != '\n' {
		text = append(append([]byte(nil), p...), '\n')
	}
	if _, err := s.shown.Write(text); err != nil {
		return f.Write(p) // the terminal went away while it was drawn on
	}
	return len(p), nil
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
