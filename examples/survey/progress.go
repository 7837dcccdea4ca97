package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

const barWidth = 40

// progress is the bar on the terminal. total is set before the first advance; the mutex is for the
// lines of note, which may come from any goroutine.
type progress struct {
	terminal bool
	total    int
	done     int

	mu    sync.Mutex
	drawn string // what the terminal shows
}

// isTerminal reports whether a file may be a terminal: a device of characters.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// advance counts one file.
func (p *progress) advance() {
	p.done++
	full := p.done * barWidth / p.total
	bar := fmt.Sprintf(
		"[%s%s] %d%% of %d files",
		strings.Repeat("#", full),
		strings.Repeat(".", barWidth-full),
		p.done*100/p.total,
		p.total,
	)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && bar != p.drawn {
		fmt.Fprintf(os.Stderr, "\r%s", bar)
		p.drawn = bar
	}
}

// note prints a line above the bar.
func (p *progress) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// clear takes the bar away.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wipe()
}

func (p *progress) wipe() {
	if p.drawn != "" {
		fmt.Fprintf(os.Stderr, "\r%s\r", strings.Repeat(" ", len(p.drawn)))
		p.drawn = ""
	}
}
