// Multiprolab-top shows in a terminal what the page of package dashboard shows in a browser: the
// processes of a program, its queues and its types of tasks.
//
//	multiprolab-top http://127.0.0.1:8080
//
// The URL is where the program has mounted the page. The keys: q ends, w, t and p sort by worker,
// by tasks and by processor time, m by memory, and space stops the picture. If it does not write to
// a terminal that can move its cursor, it prints one picture, of one second, and ends.
//
// The exit code is 1 if the program's figures cannot be had, and 2 for a wrong use.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"

	"github.com/multiprolab/multiprolab/console"
)

func main() {
	every := flag.Duration("every", time.Second, "time between two pictures")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: multiprolab-top [flags] URL")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *every < 10*time.Millisecond {
		flag.Usage()
		os.Exit(2)
	}
	s, err := newSource(flag.Arg(0))
	if err != nil {
		fail(2, err)
	}
	if err := run(s, *every); err != nil {
		fail(1, err)
	}
}

// fail ends the program. What a server has said may be in the error: it is printed as text.
func fail(code int, err error) {
	fmt.Fprintln(os.Stderr, "multiprolab-top:", console.Cut(err.Error(), 0))
	os.Exit(code)
}

func run(s *source, every time.Duration) error {
	ctx := context.Background()
	first, err := s.stats(ctx)
	if err != nil {
		return err
	}
	p := &picture{source: s, every: every, now: first, width: 0}
	if !term.IsTerminal(int(os.Stdout.Fd())) || os.Getenv("TERM") == "dumb" {
		time.Sleep(every)
		if p.now, err = s.stats(ctx); err != nil {
			return err
		}
		p.before = first
		fmt.Println(p.text())
		return nil
	}
	_, err = tea.NewProgram(p).Run()
	return err
}
