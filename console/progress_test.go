package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"
	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/console"
	"github.com/multiprolab/multiprolab/multiprolabtest"
)

func TestMain(m *testing.M) {
	multiprolabtest.Hook(newApp)
	os.Exit(m.Run())
}

var errOdd = errors.New("an odd number")

func newApp() *multiprolab.Main {
	app := multiprolab.New(nil)
	app.RegisterWorker("halver", func(_ context.Context, w *multiprolab.Worker) error {
		multiprolab.HandleTask(w, "halve", func(_ context.Context, n int) (int, error) {
			if n%2 != 0 {
				return 0, fmt.Errorf("%w: %d", errOdd, n)
			}
			return n / 2, nil
		})
		return nil
	}, &multiprolab.WorkerConfig{Count: 2})
	return app
}

func started(t *testing.T) *multiprolab.Main {
	t.Helper()
	app := newApp()
	require.NoError(t, app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, app.Close()) })
	return app
}

// screen is a terminal of 100 columns: what is written to file is drawn by an emulator.
type screen struct {
	file  *os.File // the side of the program
	other *os.File // the side of the emulator
	state vt10x.Terminal
	read  chan struct{} // closed when everything has been drawn
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	other, file, err := pty.Open()
	require.NoError(t, err)
	require.NoError(t, pty.Setsize(file, &pty.Winsize{Rows: 24, Cols: 100}))
	s := &screen{file, other, vt10x.New(vt10x.WithSize(100, 24)), make(chan struct{})}
	go func() { // ends when the side of the program is closed
		defer close(s.read)
		_, _ = io.Copy(s.state, other) // the end is an error of the terminal: EIO
	}()
	t.Cleanup(func() {
		_ = s.file.Close() // most tests have closed it to see the last picture
		<-s.read
		require.NoError(t, s.other.Close())
	})
	return s
}

// resize changes the size of both sides.
func (s *screen) resize(t *testing.T, size pty.Winsize) {
	t.Helper()
	require.NoError(t, pty.Setsize(s.file, &size))
	s.state.Resize(int(size.Cols), int(size.Rows))
}

// shows waits until there is a text on the screen.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(s.state.String(), text) },
		time.Minute, time.Millisecond, "%q is not shown", text)
}

// last returns the lines of the last picture.
func (s *screen) last(t *testing.T) []string {
	t.Helper()
	require.NoError(t, s.file.Close())
	<-s.read
	lines := strings.Split(s.state.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return slices.DeleteFunc(lines, func(l string) bool { return l == "" })
}

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestProgressOfAMap(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	app, s := started(t), newScreen(t)
	terminal := &console.Terminal{File: s.file}
	var got []int
	var failed int
	results := multiprolab.Map[int](t.Context(), app, "halve", numbers(20), nil)
	for r, err := range console.ProgressWith(results, &console.Config{Label: "numbers", Total: 20, Terminal: terminal}) {
		if err != nil {
			require.ErrorContains(t, err, "an odd number")
			failed++
			_, err = fmt.Fprintln(terminal, "odd")
			require.NoError(t, err)
			continue
		}
		got = append(got, r)
	}
	require.Equal(t, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, got)
	lines := s.last(t)
	require.Len(t, lines, failed+1, "%q", lines)
	require.Equal(t, slices.Repeat([]string{"odd"}, failed), lines[:failed])
	bar := lines[failed]
	require.Regexp(t, `^numbers  \[#+\]  20 of 20  \S+/s  in \S+  10 failed$`, bar)
}

func TestProgressOfUnknownLength(t *testing.T) {
	app, s := started(t), newScreen(t)
	n := 0
	results := multiprolab.Map[int](t.Context(), app, "halve", numbers(7), nil)
	for range console.ProgressWith(results, &console.Config{
		Terminal: &console.Terminal{File: s.file},
	}) {
		n++
	}
	require.Equal(t, 7, n)
	lines := s.last(t)
	require.Len(t, lines, 1)
	require.Regexp(t, `^7  \S+/s  in \S+  3 failed$`, lines[0])
}

func TestProgressThatIsBrokenOff(t *testing.T) {
	t.Setenv("LC_ALL", "C.UTF-8")
	app, s := started(t), newScreen(t)
	terminal := &console.Terminal{File: s.file}
	results := multiprolab.Map[int](t.Context(), app, "halve", numbers(1000), nil)
	for range console.ProgressWith(results, &console.Config{Total: 1000, Terminal: terminal}) {
		break
	}
	require.PanicsWithValue(t, "the body", func() {
		for range console.ProgressWith(results, &console.Config{Total: 1000, Terminal: terminal, Clear: true}) {
			panic("the body")
		}
	})
	_, err := fmt.Fprintln(terminal, "after it")
	require.NoError(t, err)
	lines := s.last(t)
	require.Len(t, lines, 2, "%q", lines)
	require.Contains(t, lines[0], "1 of 1000")
	require.Equal(t, "after it", lines[1])
}

func TestFutures(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	app, s := started(t), newScreen(t)
	var futures []*multiprolab.Future[int]
	for n := range 9 {
		f, err := multiprolab.Submit[int](t.Context(), app, "halve", 2*n, nil)
		require.NoError(t, err)
		futures = append(futures, f)
	}
	var got []int
	for r, err := range console.Futures(t.Context(), futures, &console.Config{
		Terminal: &console.Terminal{File: s.file},
	}) {
		require.NoError(t, err)
		got = append(got, r)
	}
	require.Equal(t, slices.Collect(numbers(9)), got)
	lines := s.last(t)
	require.Len(t, lines, 1)
	require.Regexp(t, `^\[#+\]  9 of 9 `, lines[0])
}

func TestFuturesWhoseContextEnds(t *testing.T) {
	app, s := started(t), newScreen(t)
	app.Tasks().Pause("")
	f, err := multiprolab.Submit[int](t.Context(), app, "halve", 4, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	n := 0
	for _, err := range console.Futures(ctx, []*multiprolab.Future[int]{f, f}, &console.Config{
		Terminal: &console.Terminal{File: s.file},
	}) {
		require.ErrorIs(t, err, context.Canceled)
		n++
	}
	require.Equal(t, 2, n)
	app.Tasks().Resume("")
	r, err := f.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, r)
}

func TestTwoBarsShareATerminal(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	app, s := started(t), newScreen(t)
	terminal := &console.Terminal{File: s.file}
	outer := console.ProgressWith(
		multiprolab.Map[int](t.Context(), app, "halve", numbers(3), nil),
		&console.Config{Label: "outer", Total: 3, Terminal: terminal},
	)
	for range outer {
		inner := console.ProgressWith(
			multiprolab.Map[int](t.Context(), app, "halve", numbers(5), nil),
			&console.Config{Label: "inner", Total: 5, Terminal: terminal, Clear: true},
		)
		for range inner {
		}
	}
	lines := s.last(t)
	require.Len(t, lines, 1, "%q", lines)
	require.Contains(t, lines[0], "outer  [####")
	require.Contains(t, lines[0], "3 of 3")
}

func TestSilentWithoutATerminal(t *testing.T) {
	app := started(t)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	terminal := &console.Terminal{File: w}
	var got []int
	results := multiprolab.Map[int](t.Context(), app, "halve", numbers(4), nil)
	for r, err := range console.ProgressWith(results, &console.Config{
		Label: "numbers", Terminal: terminal, Workers: app,
	}) {
		if err == nil {
			got = append(got, r)
		}
	}
	require.Equal(t, []int{0, 1}, got)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, console.Workers(ctx, app, &console.Config{Terminal: terminal}), context.Canceled)
	_, err = fmt.Fprint(terminal, "a line of its own\n")
	require.NoError(t, err)
	require.NoError(t, w.Close())
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "a line of its own\n", string(all))
}

// TestTotalThatIsTooLow: the bar goes on with the results.
func TestTotalThatIsTooLow(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	s := newScreen(t)
	n := 0
	for range console.ProgressWith(results(25), &console.Config{
		Total: 5, Terminal: &console.Terminal{File: s.file},
	}) {
		if n++; n == 5 || n == 15 {
			s.shows(t, fmt.Sprintf("%d of %d", n, n))
		}
	}
	lines := s.last(t)
	require.Len(t, lines, 1)
	require.Regexp(t, `^\[#+\]  25 of 25  `, lines[0])
}

// results yields n results, without processes.
func results(n int) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
	}
}

// TestManyResults: a result costs little, and none is lost.
func TestManyResults(t *testing.T) {
	s := newScreen(t)
	n := 0
	for range console.ProgressWith(results(10_000_000), &console.Config{
		Total: 10_000_000, Terminal: &console.Terminal{File: s.file},
	}) {
		n++
	}
	require.Equal(t, 10_000_000, n)
	require.Contains(t, s.last(t)[0], "10000000 of 10000000")
}

// TestNoResults: there is a bar, and it is complete.
func TestNoResults(t *testing.T) {
	for _, total := range []int{0, 7} {
		s := newScreen(t)
		for range console.ProgressWith(results(0), &console.Config{
			Total: total, Terminal: &console.Terminal{File: s.file},
		}) {
		}
		lines := s.last(t)
		require.Len(t, lines, 1)
		require.Contains(t, lines[0], "0.0/s")
		require.NotContains(t, lines[0], "left")
	}
}

// TestDumbTerminal: nothing is written to a terminal that cannot move its cursor.
func TestDumbTerminal(t *testing.T) {
	t.Setenv("TERM", "dumb")
	s := newScreen(t)
	terminal := &console.Terminal{File: s.file}
	for range console.ProgressWith(results(3), &console.Config{Terminal: terminal}) {
		_, err := fmt.Fprintln(terminal, "a line")
		require.NoError(t, err)
	}
	require.Equal(t, []string{"a line", "a line", "a line"}, s.last(t))
}

// TestTerminalsOfOneTerminalShareIt: what is printed by another Terminal, and by another file, is
// above the bar.
func TestTerminalsOfOneTerminalShareIt(t *testing.T) {
	s := newScreen(t)
	again, err := os.OpenFile(s.file.Name(), os.O_WRONLY, 0)
	require.NoError(t, err)
	n := 0
	for range console.ProgressWith(results(2), &console.Config{
		Label: "the bar", Terminal: &console.Terminal{File: s.file},
	}) {
		if n++; n == 1 {
			s.shows(t, "the bar")
		}
		for _, f := range []*os.File{s.file, again} {
			_, err := fmt.Fprintln(&console.Terminal{File: f}, "a line")
			require.NoError(t, err)
		}
	}
	require.NoError(t, again.Close())
	lines := s.last(t)
	require.Len(t, lines, 5, "%q", lines)
	for _, l := range lines[:4] {
		require.Equal(t, "a line", l)
	}
	require.Contains(t, lines[4], "the bar  2")
}

// TestNarrowAndLowTerminals: the bar is there, on one line, and the screen is not scrolled by it.
func TestNarrowAndLowTerminals(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	app := started(t)
	for _, size := range []pty.Winsize{
		{Rows: 24, Cols: 20}, {Rows: 24, Cols: 1}, {Rows: 3, Cols: 60}, {Rows: 2, Cols: 60}, {Rows: 4, Cols: 12},
	} {
		s := newScreen(t)
		s.resize(t, size)
		terminal := &console.Terminal{File: s.file}
		_, err := fmt.Fprintln(terminal, "#")
		require.NoError(t, err)
		for range console.ProgressWith(multiprolab.Map[int](t.Context(), app, "halve", numbers(40), nil), &console.Config{
			Label: "numbers", Total: 40, Terminal: terminal, Workers: app,
		}) {
		}
		lines := s.last(t)
		rows := min(4, int(size.Rows)-1) // the bar and the table
		if int(size.Rows) > 1+rows {
			require.Equal(t, "#", lines[0], "%v: %q", size, lines)
			lines = lines[1:]
		}
		require.LessOrEqual(t, len(lines), rows, "%v: %q", size, lines)
		require.True(t, strings.HasPrefix(lines[0], "numbers"[:min(7, int(size.Cols)-1)]), "%v: %q", size, lines)
	}
}

// TestTerminalThatIsResized: it grows lower while the bar is there.
func TestTerminalThatIsResized(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	app, s := started(t), newScreen(t)
	n := 0
	for range console.ProgressWith(results(100), &console.Config{
		Total: 100, Terminal: &console.Terminal{File: s.file}, Workers: app,
	}) {
		switch n++; n {
		case 30:
			s.shows(t, "30 of 100")
			s.resize(t, pty.Winsize{Rows: 3, Cols: 100})
		case 60:
			s.shows(t, "60 of 100")
			s.resize(t, pty.Winsize{Rows: 30, Cols: 120})
		}
	}
	lines := s.last(t)
	require.Contains(t, lines[0], "100 of 100")
	require.Len(t, lines, 4)
}

// TestTerminalThatGoesAway: the results do not.
func TestTerminalThatGoesAway(t *testing.T) {
	other, file, err := pty.Open()
	require.NoError(t, err)
	terminal := &console.Terminal{File: file}
	n := 0
	for range console.ProgressWith(results(1000), &console.Config{Total: 1000, Terminal: terminal}) {
		if n++; n == 500 {
			require.NoError(t, other.Close())
		}
		_, _ = fmt.Fprintln(terminal, "there is nobody") // an error in the end
	}
	require.Equal(t, 1000, n)
	require.NoError(t, file.Close())
}

// TestManyFutures: those that wait cost no goroutine each.
func TestManyFutures(t *testing.T) {
	app, s := started(t), newScreen(t)
	first, err := multiprolab.Submit[int](t.Context(), app, "halve", 2, nil)
	require.NoError(t, err)
	_, err = first.Wait(t.Context())
	require.NoError(t, err)
	app.Tasks().Pause("")
	futures := []*multiprolab.Future[int]{first}
	for range 2000 {
		f, err := multiprolab.Submit[int](t.Context(), app, "halve", 4, nil)
		require.NoError(t, err)
		futures = append(futures, f)
	}
	before := runtime.NumGoroutine()
	n := 0
	for _, err := range console.Futures(t.Context(), futures, &console.Config{
		Terminal: &console.Terminal{File: s.file},
	}) {
		require.NoError(t, err)
		if n++; n == 1 {
			require.Less(t, runtime.NumGoroutine(), before+100)
			app.Tasks().Resume("")
		}
	}
	require.Equal(t, 2001, n)
	require.Contains(t, s.last(t)[0], "2001 of 2001")
}
