package console_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

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
