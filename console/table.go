package console

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/multiprolab/multiprolab"
)

// mostRows is how many workers a live table shows; one more line says how many there are besides.
const mostRows = 20

// mostLines is how many lines that are: the header, the workers, and how many there are besides.
const mostLines = 1 + mostRows + 1

// freshness is how old a snapshot may be that is drawn: rates of shorter times flicker.
const freshness = time.Second

// Workers is app.Wait that shows a live table of the workers meanwhile: until the program has
// ended, whose error it returns, or until the context ends. Of cfg it takes the Label, Clear and
// the Terminal.
func Workers(ctx context.Context, app *multiprolab.Main, cfg *Config) error {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	c.Total, c.Workers = 0, app
	b := showTable(c)
	defer b.end()
	return app.Wait(ctx)
}

func showTable(c Config) *bar {
	t := c.terminal()
	if !t.isTerminal() {
		return nil
	}
	b := &bar{begun: time.Now(), over: make(chan struct{}), clear: c.Clear}
	live := newTable(c.Workers)
	summary := decor.Any(func(decor.Statistics) string { return c.label() + live.summary() })
	b.screen, b.drawn = screens.add(t.file(), mpb.NopStyle(), mpb.BarFillerTrim(), mpb.PrependDecorators(summary), live.below())
	return b
}

// table is the live table of a Main, as the library of the bars wants it: line by line.
type table struct {
	// app is whose workers it shows.
	app *multiprolab.Main
	mu  sync.Mutex // guards what is below
	// now is the newest snapshot, and before the one before it.
	now, before *multiprolab.Stats
	// text is the lines of the table, of is the snapshot that they show, and width is for which
	// width they were made.
	text  []string
	of    *multiprolab.Stats
	width int
}

func newTable(app *multiprolab.Main) *table {
	now := app.Stats()
	return &table{app: app, now: now, before: now}
}

// below shows the table below a bar.
func (t *table) below() mpb.BarOption {
	rows := make([]mpb.BarFiller, mostLines)
	for i := range rows {
		rows[i] = mpb.BarFillerFunc(func(w io.Writer, s decor.Statistics) error {
			line, there := t.line(i, s.AvailableWidth)
			if !there {
				return nil
			}
			_, err := fmt.Fprintln(w, line)
			return err
		})
	}
	return mpb.BarBtmExtender(rows...)
}

// line returns a line of the newest picture, or false if it has no such line.
func (t *table) line(i, width int) (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i == 0 {
		t.refresh()
	}
	if t.of != t.now || width != t.width {
		t.of, t.width, t.text = t.now, width, Table(t.now, t.before, width)
		if n := len(t.text); n > mostLines { // the last line says what there is no room for
			t.text = append(t.text[:mostLines-1], Cut(fmt.Sprintf("and %d more", n-mostLines+1), width))
		}
	}
	if i >= len(t.text) {
		return "", false
	}
	return t.text[i], true
}

// refresh takes another snapshot if the newest one is too old. The caller holds t.mu.
func (t *table) refresh() {
	if time.Since(t.now.Time) >= freshness {
		t.before, t.now = t.now, t.app.Stats()
	}
}

// summary says in a line what the workers do together.
func (t *table) summary() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refresh()
	return Summary(t.now, t.before)
}

// Summary says in a line what a program does: how many workers it has, and its tasks. The rates are
// of the time between the two snapshots, of which before is the older; nil shows none.
func Summary(now, before *multiprolab.Stats) string {
	live := 0
	for _, w := range now.Workers {
		if w.Process.PID != 0 {
			live++
		}
	}
	s := fmt.Sprintf("%d workers", live)
	if live == 1 {
		s = "1 worker"
	}
	q := now.Tasks
	s += fmt.Sprintf("  tasks: %d running, %d queued, %d done, %d failed", q.Running, q.Queued, q.Succeeded, q.Failed)
	if before != nil {
		if r, ok := rate(over(&q), over(&before.Tasks), now, before); ok {
			s += "  " + perSecond(r)
		}
	}
	return s
}

// over is how many tasks have an outcome.
func over(s *multiprolab.TaskStats) uint64 { return s.Succeeded + s.Failed + s.Cancelled }

// rate returns by how much a counter has grown in a second. A program that was started again counts
// from the beginning.
func rate(n, from uint64, now, before *multiprolab.Stats) (float64, bool) {
	if before == nil || n < from || !now.Started.Equal(before.Started) {
		return 0, false
	}
	d := now.Time.Sub(before.Time).Seconds()
	return float64(n-from) / d, d > 0
}

// Table returns the lines of a table of the workers: the header, and one for each worker, none of
// them wider than width columns, if that is more than 0. The rates and the use of the processors
// are of the time between the two snapshots, of which before is the older; without it, which is
// nil, these columns are empty. What is not printable in a name is shown as a question mark.
func Table(now, before *multiprolab.Stats, width int) []string {
	older := map[string]*multiprolab.WorkerStats{}
	if before != nil {
		for i := range before.Workers {
			older[before.Workers[i].Name] = &before.Workers[i]
		}
	}
	rows := [][]string{{"WORKER", "STATE", "FOR", "PID", "CPU", "MEMORY", "TASKS", "MESSAGES", "RESTARTS", "DOES"}}
	for i := range now.Workers {
		w := &now.Workers[i]
		row := []string{
			printable(w.Name, 40), string(w.State), age(now.Time.Sub(w.Since)), "", "", "", "", "",
			fmt.Sprint(w.Restarts), does(w, now.Time),
		}
		if w.Since.IsZero() {
			row[2] = ""
		}
		if w.Process.PID != 0 {
			row[3], row[5] = fmt.Sprint(w.Process.PID), size(w.Process.Resident)
		}
		if o := older[w.Name]; o != nil {
			if o.Life == w.Life {
				if r, ok := rate(uint64(w.Process.CPU), uint64(o.Process.CPU), now, before); ok {
					row[4] = fmt.Sprintf("%.0f%%", r/1e9*100)
				}
			}
			if r, ok := rate(w.Tasks, o.Tasks, now, before); ok {
				row[6] = perSecond(r)
			}
			if r, ok := rate(w.Messages, o.Messages, now, before); ok {
				row[7] = perSecond(r)
			}
		}
		rows = append(rows, row)
	}
	return align(rows, 2, width)
}

// Queues returns the lines of a table of the queues, as Table does of the workers.
func Queues(now, before *multiprolab.Stats, width int) []string {
	older := map[string]*multiprolab.QueueStats{}
	if before != nil {
		for i := range before.Queues {
			older[before.Queues[i].Name] = &before.Queues[i]
		}
	}
	rows := [][]string{{"QUEUE", "STATE", "READY", "RUNNING", "DELAYED", "DEAD", "OLDEST", "ENDED"}}
	for i := range now.Queues {
		q := &now.Queues[i]
		row := []string{
			name(q.Name), "", fmt.Sprint(q.Ready), fmt.Sprint(q.Running), fmt.Sprint(q.Delayed), fmt.Sprint(q.Dead), "", "",
		}
		switch {
		case q.Paused:
			row[1] = "paused"
		case q.Throttled > 0:
			row[1] = "throttled"
		}
		if q.Oldest > 0 {
			row[6] = age(q.Oldest)
		}
		if o := older[q.Name]; o != nil {
			if r, ok := rate(over(&q.TaskStats), over(&o.TaskStats), now, before); ok {
				row[7] = perSecond(r)
			}
		}
		rows = append(rows, append(row, ""))
	}
	rows[0] = append(rows[0], "")
	return align(rows, 2, width)
}

// Types returns the lines of a table of the types of tasks, as Table does of the workers.
func Types(now, before *multiprolab.Stats, width int) []string {
	older := map[string]*multiprolab.TypeStats{}
	if before != nil {
		for i := range before.Types {
			older[before.Types[i].Type] = &before.Types[i]
		}
	}
	rows := [][]string{{
		"TYPE", "DONE", "FAILED", "CANCELLED", "RETRIED", "RUN P50", "P99", "WAIT P50", "P99", "ENDED", "SLOWEST",
	}}
	for i := range now.Types {
		k := &now.Types[i]
		row := []string{
			name(k.Type), fmt.Sprint(k.Succeeded), fmt.Sprint(k.Failed), fmt.Sprint(k.Cancelled), fmt.Sprint(k.Retried),
			"", "", "", "", "", "",
		}
		if k.Run.Count > 0 {
			row[5], row[6] = latency(k.Run.P50), latency(k.Run.P99)
		}
		if k.Wait.Count > 0 {
			row[7], row[8] = latency(k.Wait.P50), latency(k.Wait.P99)
		}
		if o := older[k.Type]; o != nil {
			if r, ok := rate(over(&k.TaskStats), over(&o.TaskStats), now, before); ok {
				row[9] = perSecond(r)
			}
		}
		if len(k.Slowest) > 0 {
			s := k.Slowest[0]
			row[10] = fmt.Sprintf("%s on %s", latency(s.Run), printable(s.Worker, 40))
		}
		rows = append(rows, row)
	}
	return align(rows, 1, width)
}

// name is the name of a queue or a type; those that are counted together have none.
func name(s string) string {
	if s == "" {
		return "(others)"
	}
	return printable(s, 40)
}

// does says what a worker works on, or why it does not.
func does(w *multiprolab.WorkerStats, now time.Time) string {
	if len(w.Running) > 0 {
		r := w.Running[0]
		s := fmt.Sprintf("%s %s for %s", r.Kind, printable(r.Type, 60), age(now.Sub(r.Since)))
		if more := len(w.Running) - 1; more > 0 {
			s += fmt.Sprintf(", and %d more", more)
		}
		return s
	}
	if d := w.LastDeath; d != nil && w.Process.PID == 0 {
		return "has died: " + string(d.Cause)
	}
	return ""
}

// align pads the columns to one width, and cuts what does not fit. The first columns, as many as
// texts says, and the last one are texts, the others are numbers.
func align(rows [][]string, texts, width int) []string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for c, cell := range row {
			widths[c] = max(widths[c], runewidth.StringWidth(cell))
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		var line strings.Builder
		for c, cell := range row {
			pad := strings.Repeat(" ", widths[c]-runewidth.StringWidth(cell))
			switch {
			case c == len(row)-1:
				line.WriteString(cell)
			case c < texts:
				line.WriteString(cell + pad + "  ")
			default:
				line.WriteString(pad + cell + "  ")
			}
		}
		lines[i] = Cut(strings.TrimRight(line.String(), " "), width)
	}
	return lines
}

// Cut returns what a terminal of so many columns has room for of a line, or all of it if width is
// 0. What is not printable becomes question marks.
func Cut(line string, width int) string {
	if width <= 0 {
		width = len(line)
	}
	return printable(line, width)
}

// latency says a duration in three digits or so.
func latency(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= 100*unit {
			return d.Round(unit).String()
		}
		if d >= unit {
			return d.Round(unit / 100).String()
		}
	}
	return d.String()
}

// age says a duration in at most five characters or so.
func age(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", max(0, d.Milliseconds()))
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// size says a number of bytes in at most three digits and a unit.
func size(bytes int64) string {
	units, f := []string{"B", "KiB", "MiB", "GiB"}, float64(bytes)
	for len(units) > 1 && f >= 1000 {
		f, units = f/1024, units[1:]
	}
	if f < 10 && units[0] != "B" {
		return fmt.Sprintf("%.1f %s", f, units[0])
	}
	return fmt.Sprintf("%.0f %s", f, units[0])
}

// printable returns a text with a question mark for each character that could do something to a
// terminal, cut to a width: names of types and labels may come from anybody.
func printable(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s[:min(len(s), 4*width+4)])
	return runewidth.Truncate(s, width, "~")
}
