package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/console"
)

// picture is what is on the screen. It belongs to the loop of the terminal's library.
type picture struct {
	// source is where the figures come from, and every how often.
	source *source
	every  time.Duration
	// now is the newest snapshot, and before the one before it, or nil.
	now, before *multiprolab.Stats
	// err is why there is none that is newer: the last picture stays, with a line that says so.
	err error
	// order is the key of the order of the workers, and still says that the picture stands.
	order string
	still bool
	// width and height are those of the terminal; 0 is no bound.
	width, height int
}

// came is a snapshot, or why there is none.
type came struct {
	stats *multiprolab.Stats
	err   error
}

// ask says that it is time for another snapshot.
type ask struct{}

func (p *picture) later() tea.Cmd {
	return tea.Tick(p.every, func(time.Time) tea.Msg { return ask{} })
}

// Init is the begin: the first snapshot is there already.
func (p *picture) Init() tea.Cmd { return p.later() }

// Update takes a key, the size of the terminal, or a snapshot.
func (p *picture) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		p.width, p.height = msg.Width, msg.Height
	case tea.KeyPressMsg:
		switch key := msg.String(); key {
		case "q", "ctrl+c", "esc":
			return p, tea.Quit
		case "space":
			p.still = !p.still
		case "w", "t", "p", "m":
			p.order = key
		}
	case ask:
		return p, func() tea.Msg {
			stats, err := p.source.stats(context.Background())
			return came{stats, err}
		}
	case came:
		if p.err = msg.err; msg.err == nil && !p.still {
			p.before, p.now = p.now, msg.stats
		}
		return p, p.later()
	}
	return p, nil
}

// View draws the picture.
func (p *picture) View() tea.View {
	v := tea.NewView(p.text())
	v.AltScreen = true
	v.WindowTitle = "multiprolab-top"
	return v
}

// keys is the last line of the picture.
const keys = "q ends  space stops  sort by: w worker  t tasks  p processor  m memory"

// text returns the picture as lines, as many as there is room for.
func (p *picture) text() string {
	tables := [][]string{
		console.Table(p.sorted(), p.before, p.width), console.Queues(p.now, p.before, p.width),
		console.Types(p.now, p.before, p.width),
	}
	if p.height > 0 {
		p.share(tables, p.height-2-len(tables)) // besides the head, the keys, and an empty line above each
	}
	lines := []string{p.head()}
	for _, t := range tables {
		lines = append(append(lines, ""), t...)
	}
	if p.height > 0 {
		lines = append(lines[:min(len(lines), max(1, p.height-1))], console.Cut(keys, p.width))
		lines = lines[:min(len(lines), p.height)]
	}
	return strings.Join(lines, "\n")
}

// share cuts tables so that they have so many lines together, and a short one is not cut for a long
// one. The last line of one that is cut says what there is no room for.
func (p *picture) share(tables [][]string, lines int) {
	order := []int{0, 1, 2}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(tables[a]), len(tables[b])) })
	for i, n := range order {
		t, most := tables[n], max(0, lines/(len(order)-i))
		if len(t) > most && most > 1 {
			more := fmt.Sprintf("%d more %s", len(t)-most+1, []string{"workers", "queues", "types"}[n])
			t = append(t[:most-1], console.Cut(more, p.width))
		}
		tables[n] = t[:min(len(t), most)]
		lines -= len(tables[n])
	}
}

func (p *picture) head() string {
	s := console.Summary(p.now, p.before)
	switch {
	case p.err != nil:
		s = "NO ANSWER since " + p.now.Time.Local().Format(time.TimeOnly) + ": " + p.err.Error()
	case p.still:
		s = "STOPPED at " + p.now.Time.Local().Format(time.TimeOnly) + ", space goes on:  " + s
	}
	return console.Cut(s, p.width)
}

// sorted returns the newest snapshot with its workers in the order of the last key.
func (p *picture) sorted() *multiprolab.Stats {
	old := map[string]*multiprolab.WorkerStats{}
	if p.before != nil {
		for i := range p.before.Workers {
			old[p.before.Workers[i].Name] = &p.before.Workers[i]
		}
	}
	grown := func(w *multiprolab.WorkerStats, of func(*multiprolab.WorkerStats) uint64) uint64 {
		if o := old[w.Name]; o != nil && o.Life == w.Life && of(w) >= of(o) {
			return of(w) - of(o)
		}
		return 0
	}
	by := map[string]func(w *multiprolab.WorkerStats) uint64{
		"t": func(w *multiprolab.WorkerStats) uint64 {
			return grown(w, func(w *multiprolab.WorkerStats) uint64 { return w.Tasks })
		},
		"p": func(w *multiprolab.WorkerStats) uint64 {
			return grown(w, func(w *multiprolab.WorkerStats) uint64 { return uint64(w.Process.CPU) })
		},
		"m": func(w *multiprolab.WorkerStats) uint64 { return uint64(w.Process.Resident) },
	}[p.order]
	if by == nil {
		return p.now // by pool and index, as they come
	}
	now := *p.now
	now.Workers = slices.Clone(now.Workers)
	slices.SortStableFunc(now.Workers, func(a, b multiprolab.WorkerStats) int { return cmp.Compare(by(&b), by(&a)) })
	return &now
}
