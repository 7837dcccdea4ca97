package multiprolab_test

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/big"
	"net/url"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// This file is what becomes of users' values that are not simple: a value ends no process, and
// nothing of it is lost without a word.

// The types whose methods panic do so by what is in them, if they are nil, or when they are
// decoded.
type (
	panicGob    struct{ How string }
	panicBinary struct{ How string }
	panicNil    struct{ N int }
	panicDecode struct{ N int }
	panicError  struct{ Text string } // registered as an error
	quitter     struct{ When string } // calls runtime.Goexit
)

var noMap map[string]int

func panicBy(how string) {
	switch how {
	case "text":
		panic("no such luck")
	case "error":
		panic(errors.New("no such luck"))
	case "stringer":
		panic(&url.URL{Host: "no such luck"})
	case "map":
		noMap["no such luck"] = 1
	case "index":
		_ = []int{}[len(how)]
	case "large":
		panic(strings.Repeat("no such luck", 100_000))
	}
}

func (p panicGob) GobEncode() ([]byte, error)         { panicBy(p.How); return []byte(p.How), nil }
func (p *panicGob) GobDecode(b []byte) error          { p.How = string(b); return nil }
func (p *panicBinary) MarshalBinary() ([]byte, error) { panicBy(p.How); return []byte(p.How), nil }
func (p *panicBinary) UnmarshalBinary(b []byte) error { p.How = string(b); return nil }

// AppendBinary is not called: gob goes by MarshalBinary.
func (p *panicBinary) AppendBinary([]byte) ([]byte, error) { panic("AppendBinary") }

func (p *panicNil) GobEncode() ([]byte, error) { return []byte{byte(p.N)}, nil }
func (p *panicNil) GobDecode(b []byte) error   { p.N = int(b[0]); return nil }

func (p panicDecode) MarshalBinary() ([]byte, error) { return []byte{byte(p.N)}, nil }
func (p *panicDecode) UnmarshalBinary(b []byte) error {
	panic(fmt.Sprintf("no such luck with %d", b[0]))
}

func (p *panicError) Error() string              { return "a bad error: " + p.Text }
func (p *panicError) GobEncode() ([]byte, error) { panic("no such luck") }
func (p *panicError) GobDecode([]byte) error     { panic("no such luck") }

func (q quitter) GobEncode() ([]byte, error) {
	if q.When == "encode" {
		runtime.Goexit()
	}
	return []byte(q.When), nil
}

func (q *quitter) GobDecode(b []byte) error {
	if q.When = string(b); q.When == "decode" {
		runtime.Goexit()
	}
	return nil
}

func init() {
	gob.Register(panicGob{})
	gob.Register(&panicNil{})
	gob.Register(panicDecode{})
	gob.Register([]*panicNil{})
	gob.Register([]*quitter{})
}

// panickers are values that do not encode, and a part of the error of each.
func panickers() map[string]any {
	u := &url.URL{Scheme: "http", Host: "localhost"}
	return map[string]any{
		"a method with a value receiver":    panicGob{"text"},
		"and a pointer":                     &panicGob{"text"},
		"a method with a pointer receiver":  panicBinary{"text"},
		"an error":                          panicGob{"error"},
		"a pointer that has a text":         panicBinary{"stringer"},
		"a nil map":                         panicGob{"map"},
		"an index":                          panicBinary{"index"},
		"a large text":                      panicGob{"large"},
		"in a field":                        struct{ A, B panicGob }{B: panicGob{"text"}},
		"behind a pointer in a field":       struct{ P *panicBinary }{&panicBinary{"text"}},
		"in a list":                         []panicGob{{}, {"text"}},
		"in an array":                       [2]panicBinary{1: {"text"}},
		"in a map":                          map[string]*panicBinary{"a": {"text"}},
		"as a key":                          map[panicGob]int{{"text"}: 1},
		"behind an interface":               []any{1, panicGob{"text"}},
		"a nil URL in a list":               []*url.URL{u, nil},
		"a nil URL in a map":                map[string]*url.URL{"a": nil},
		"a nil URL in an array":             [2]*url.URL{u, nil},
		"a nil URL in a struct's list":      struct{ List []*url.URL }{[]*url.URL{nil}},
		"a nil of a value receiver":         []*panicGob{nil},
		"a nil of a pointer receiver":       []*panicNil{{1}, nil},
		"a nil in a list in an interface":   struct{ A any }{[]any{[]*panicNil{nil}}},
		"a nil in a list, with interfaces":  withNils{L: []*panicNil{nil}},
		"a nil deep in a struct with lists": []map[string][]*url.URL{{"a": {nil}}},
	}
}

type withNils struct {
	L []*panicNil
	A any
}

// requireEncodeError checks that an error says which value could not be sent, and why.
func requireEncodeError(t *testing.T, err error, value any) {
	t.Helper()
	var encode *multiprolab.EncodeError
	require.ErrorAs(t, err, &encode)
	require.Equal(t, fmt.Sprintf("%T", value), encode.GoType)
	require.Less(t, len(err.Error()), 20_000)
}

// The workers of this file. The types that panic are made in the worker, by the name in panickers.
var _ = worker("values", func(ctx context.Context, w *multiprolab.Worker) error {
	all := panickers()
	multiprolab.HandleTask(w, "take", func(context.Context, any) (int, error) { return w.Life(), nil })
	multiprolab.HandleTask(w, "make", func(_ context.Context, what string) (any, error) { return all[what], nil })
	multiprolab.HandleTask(
		w,
		"make-typed",
		func(_ context.Context, what string) (panicGob, error) { return panicGob{what}, nil },
	)
	multiprolab.HandleCall(w, "make-call", func(_ context.Context, what string) (any, error) { return all[what], nil })
	// send tries all ways to send, and returns what the errors say.
	multiprolab.HandleTask(w, "send", func(ctx context.Context, what string) ([]string, error) {
		v := all[what]
		_, doErr := multiprolab.Do[int](ctx, w, "take", v)
		_, callErr := multiprolab.Call[int](ctx, w, "main", "take-call", v)
		_, submitErr := multiprolab.Submit[int](ctx, w, "take", v, nil)
		var mapErr error
		for _, err := range multiprolab.Map[int](ctx, w, "take", slices.Values([]any{v}), nil) {
			mapErr = err
		}
		var texts []string
		for _, err := range []error{doErr, callErr, submitErr, mapErr, multiprolab.Send(ctx, w, "main", "take-message", v),
			multiprolab.Broadcast(ctx, w, "", "take-message", v), multiprolab.Progress(ctx, v), w.SetExitValue(v)} {
			var encode *multiprolab.EncodeError
			if !errors.As(err, &encode) {
				return nil, fmt.Errorf("%w: %v", errors.ErrUnsupported, err)
			}
			texts = append(texts, err.Error())
		}
		return texts, nil
	})
	multiprolab.HandleTask(w, "fail", func(_ context.Context, text string) (int, error) { return 0, &panicError{text} })
	multiprolab.HandleTask(w, "decode", func(context.Context, panicDecode) (int, error) { return 1, nil })
	multiprolab.HandleTask(w, "decode-list", func(context.Context, []any) (int, error) { return 1, nil })
	w.HandleTask(
		"refuse",
		func(context.Context, *multiprolab.Task) (any, error) { return nil, errors.New("not today") },
	)
	multiprolab.HandleCall(w, "decode-call", func(context.Context, panicDecode) (int, error) { return 1, nil })
	multiprolab.Handle(w, "decode-message", func(context.Context, panicDecode) error { return nil })
	multiprolab.HandleTask(w, "bad", func(ctx context.Context, n int) (panicDecode, error) {
		return panicDecode{n}, multiprolab.Progress(ctx, panicDecode{n})
	})
	multiprolab.HandleCall(
		w,
		"bad-call",
		func(_ context.Context, n int) (panicDecode, error) { return panicDecode{n}, nil },
	)
	multiprolab.HandleTask(w, "bad-send", func(ctx context.Context, n int) (int, error) {
		return n, errors.Join(
			multiprolab.Send(ctx, w, "main", "bad-message", panicDecode{n}),
			w.SetExitValue(panicDecode{n}),
		)
	})
	multiprolab.HandleTask(
		w,
		"bring",
		func(_ context.Context, when string) (quitter, error) { return quitter{when}, nil },
	)
	multiprolab.HandleCall(
		w,
		"bring-call",
		func(_ context.Context, when string) (quitter, error) { return quitter{when}, nil },
	)
	multiprolab.HandleTask(w, "quit", func(_ context.Context, q quitter) (quitter, error) { return q, nil })
	multiprolab.HandleCall(w, "quit-call", func(_ context.Context, q quitter) (quitter, error) { return q, nil })
	return nil
})

// A method of a user's type that panics while it encodes is an error to who sends the value, in
// main as in a worker, on every way that a value takes.
func TestEncodersThatPanic(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("values", 1))
		multiprolab.HandleCall(l, "take-call", func(context.Context, any) (int, error) { return 0, nil })
		l.RegisterError(&panicError{})
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		for what, v := range panickers() {
			_, doErr := multiprolab.Do[int](ctx, l, "take", v)
			_, callErr := multiprolab.Call[int](ctx, l, "values", "make-call", v)
			_, submitErr := multiprolab.Submit[int](ctx, l, "take", v, nil)
			_, tryErr := l.Tasks().TrySubmit(ctx, "take", v, nil)
			for i, err := range []error{doErr, callErr, submitErr, tryErr, multiprolab.Send(ctx, l, "values", "decode-message", v),
				multiprolab.Broadcast(ctx, l, "", "decode-message", v)} {
				requireEncodeError(t, err, v)
				require.Contains(t, err.Error(), " panicked", "%s, way %d", what, i)
			}
			for _, err := range multiprolab.Map[int](ctx, l, "take", slices.Values([]any{1, v, 2}), nil) {
				var item *multiprolab.MapError
				if errors.As(err, &item) {
					require.Equal(t, 1, item.Index)
					requireEncodeError(t, err, v)
				}
			}

			_, err := multiprolab.Do[any](ctx, l, "make", what) // and now the worker encodes
			requireEncodeError(t, err, v)
			_, err = multiprolab.Call[any](ctx, l, "values", "make-call", what)
			requireEncodeError(t, err, v)
			texts, err := multiprolab.Do[[]string](ctx, l, "send", what)
			require.NoError(t, err, what)
			for _, text := range texts {
				require.Contains(t, text, " panicked", what)
			}
			if strings.Contains(what, "nil of") || strings.Contains(what, "nil URL") {
				require.ErrorContains(t, doErr, "a nil pointer is among its elements", what)
			}
		}
		// a typed Map, in a batch
		var got []string
		for _, err := range multiprolab.Map[panicGob](ctx, l, "make-typed", slices.Values([]string{"fine", "text", "good"}), nil) {
			got = append(got, fmt.Sprint(err))
		}
		require.Len(t, got, 3)
		require.Equal(t, []string{"<nil>", "<nil>"}, []string{got[0], got[2]})
		require.Contains(t, got[1], "panicGob.GobEncode panicked at values_test.go:")
		require.Contains(t, got[1], ": no such luck")
		got = nil
		for _, err := range multiprolab.Map[int](ctx, l, "take", slices.Values([]panicGob{{"fine"}, {"text"}, {"good"}}), nil) {
			got = append(got, fmt.Sprint(err))
		}
		require.Contains(t, got[1], "panicGob.GobEncode panicked at values_test.go:")
		require.Equal(t, []string{"<nil>", "<nil>"}, []string{got[0], got[2]})
		// an error of a type that does not encode arrives as its text
		_, err := multiprolab.Do[int](ctx, l, "fail", "worse")
		var remote *multiprolab.RemoteError
		require.ErrorAs(t, err, &remote)
		require.ErrorContains(t, err, "a bad error: worse")

		life, err := multiprolab.Do[int](ctx, l, "take", nil)
		require.NoError(t, err)
		require.Equal(t, 1, life, "nobody died of it")
		require.NoError(t, l.Close())
	})
}

// The same for the methods that decode: the receiver gets an error, and so does who asked.
func TestDecodersThatPanic(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("values", 1))
		multiprolab.Handle(l, "bad-message", func(context.Context, panicDecode) error { return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		says := []string{"(*panicDecode).UnmarshalBinary panicked at values_test.go:", ": no such luck with 7"}
		_, err := multiprolab.Do[int](ctx, l, "decode", panicDecode{7})
		requireDecodeError(t, err, "values/0", "decode", says...)
		_, err = multiprolab.Do[int](ctx, l, "decode-list", []any{panicDecode{7}})
		requireDecodeError(t, err, "values/0", "decode-list", says...)
		_, err = multiprolab.Do[int](ctx, l, "take", panicDecode{7}) // the handler takes any
		requireDecodeError(t, err, "values/0", "take", says...)
		_, err = multiprolab.Call[int](ctx, l, "values", "decode-call", panicDecode{7})
		requireDecodeError(t, err, "values/0", "decode-call", says...)
		for _, err := range multiprolab.Map[int](ctx, l, "decode", slices.Values([]panicDecode{{7}}), nil) {
			requireDecodeError(t, err, "values/0", "decode", says...)
		}
		require.NoError(t, multiprolab.Send(ctx, l, "values", "decode-message", panicDecode{7}))
		letter := waitEvent(t, l, func(d *multiprolab.DeadLetter) bool { return d.Type == "decode-message" })
		require.Contains(t, letter.Reason, says[0])

		reports := 0
		_, err = multiprolab.DoWith[panicDecode](
			ctx,
			l,
			"bad",
			7,
			&multiprolab.TaskOptions{OnProgress: func(_ context.Context, m *multiprolab.Message) {
				reports++
				var v panicDecode
				requireDecodeError(t, m.Decode(&v), "main", "bad", says...)
			}},
		)
		requireDecodeError(t, err, "main", "bad", says...)
		require.Equal(t, 1, reports)
		_, err = multiprolab.Call[panicDecode](ctx, l, "values", "bad-call", 7)
		requireDecodeError(t, err, "main", "bad-call", says...)
		for _, err := range multiprolab.Map[panicDecode](ctx, l, "bad", slices.Values([]int{7}), nil) {
			requireDecodeError(t, err, "main", "bad", says...)
		}
		_, err = multiprolab.Do[int](ctx, l, "bad-send", 7)
		require.NoError(t, err)
		letter = waitEvent(t, l, func(d *multiprolab.DeadLetter) bool { return d.Type == "bad-message" })
		require.Contains(t, letter.Reason, says[0])

		_, err = multiprolab.DoWith[int](
			ctx,
			l,
			"refuse",
			panicDecode{7},
			&multiprolab.TaskOptions{Attempts: 2, Retry: multiprolab.RetryPolicy{Max: 1}},
		)
		var attempts *multiprolab.AttemptsError
		require.ErrorAs(t, err, &attempts)
		dead := l.Tasks().Dead()
		require.Len(t, dead, 1)
		var v panicDecode
		requireDecodeError(t, dead[0].Decode(&v), "main", "refuse", says...)

		life, err := multiprolab.Do[int](ctx, l, "take", nil)
		require.NoError(t, err)
		require.Equal(t, 1, life, "nobody died of it")
		require.NoError(t, l.Close())
		stopped := waitEvent[*multiprolab.WorkerStopped](t, l, nil)
		requireDecodeError(t, stopped.Decode(&v), "main", "exit value of values/0", says...)
	})
}

// A nil that its methods stand goes where gob sends it, and arrives as what they make of it.
func TestNilThatEncodesItself(t *testing.T) {
	l := startLab(t, nil, workers("typed", 1))
	got, err := multiprolab.Do[[]*big.Int](bounded(t), l, "bigs", []*big.Int{nil, big.NewInt(5)})
	require.NoError(t, err)
	require.Equal(t, "[0 5]", fmt.Sprint(got))
}

// runtime.Goexit in such a method ends the goroutine that sends or receives, and nothing else: it
// is the user's own, and nothing that others need is held on it.
func TestEncodersThatCallGoexit(t *testing.T) {
	l := startLab(t, nil, workers("values", 1))
	ctx := bounded(t)
	quit := quitter{"encode"}
	items := func(items ...quitter) iter.Seq[quitter] { return slices.Values(items) }
	for what, fn := range map[string]func(){
		"Do":     func() { _, _ = multiprolab.Do[int](ctx, l, "take", quit) },
		"Submit": func() { _, _ = multiprolab.Submit[int](ctx, l, "take", quit, nil) },
		"Call":   func() { _, _ = multiprolab.Call[int](ctx, l, "values", "quit-call", []quitter{quit}) },
		"Send":   func() { _ = multiprolab.Send(ctx, l, "values", "x", map[string]any{"a": []*quitter{&quit}}) },
		"Map": func() {
			multiprolab.Map[int](ctx, l, "quit", items(quitter{}, quit), nil)(func(int, error) bool { return true })
		},
		"the result of Do": func() { _, _ = multiprolab.Do[quitter](ctx, l, "bring", "decode") },
		"the reply":        func() { _, _ = multiprolab.Call[quitter](ctx, l, "values", "bring-call", "decode") },
		"the results of Map": func() {
			multiprolab.Map[quitter](ctx, l, "bring", slices.Values([]string{"", "decode"}), nil)(func(quitter, error) bool { return true })
		},
	} {
		done, went := make(chan struct{}), false
		go func() { // ends by Goexit
			defer close(done)
			fn()
			went = true
		}()
		await(t, done, what)
		require.False(t, went, what)
		for range 3 {
			got, err := multiprolab.Do[quitter](ctx, l, "quit", quitter{"never"})
			require.NoError(t, err, what)
			require.Equal(t, quitter{"never"}, got)
			_, err = multiprolab.Call[quitter](ctx, l, "values", "quit-call", quitter{"never"})
			require.NoError(t, err, what)
			for _, err := range multiprolab.Map[quitter](ctx, l, "quit", items(quitter{"a"}, quitter{"b"}), nil) {
				require.NoError(t, err, what)
			}
		}
	}
	require.NoError(t, l.Tasks().Join(ctx))
	require.NoError(t, l.Close())
}

// The interfaces that handlers take and return, and what is behind them.
type (
	shape  interface{ Area() float64 }
	square struct{ S float64 }
	circle struct{ R float64 }
	blob   struct{ A float64 } // has its methods by way of a pointer
	ghost  struct{ A float64 } // is not known to gob
	crate  struct{ Inner any }
	user   struct{ Name string }
	meters float64
	alike1 []square
)

func (s square) Area() float64   { return s.S * s.S }
func (c circle) Area() float64   { return 3 * c.R * c.R }
func (b *blob) Area() float64    { return b.A }
func (g ghost) Area() float64    { return g.A }
func (m meters) Area() float64   { return float64(m) * float64(m) }
func (a alike1) Area() float64   { return float64(len(a)) }
func (c crate) Area() float64    { return 1 }
func (m meters) String() string  { return fmt.Sprintf("%g m", float64(m)) }
func (u *user) Error() string    { return u.Name }
func (s square) String() string  { return fmt.Sprintf("%g square", s.S) }
func (c *circle) String() string { return "round" }

func init() {
	gob.Register(square{})
	gob.Register(circle{})
	gob.Register(&blob{})
	gob.Register(crate{})
	gob.Register(meters(0))
	gob.Register(alike1{})
	gob.Register(&user{})
	gob.Register([]*square{})
}

func measure(s shape) float64 {
	if s == nil {
		return -1
	}
	return s.Area()
}

var _ = worker("typed", func(ctx context.Context, w *multiprolab.Worker) error {
	multiprolab.HandleTask(w, "area", func(_ context.Context, s shape) (float64, error) { return measure(s), nil })
	multiprolab.HandleCall(w, "area-call", func(_ context.Context, s shape) (float64, error) { return measure(s), nil })
	multiprolab.Handle(
		w,
		"area-message",
		func(ctx context.Context, s shape) error { return multiprolab.Send(ctx, w, "main", "area", measure(s)) },
	)
	multiprolab.HandleTask(w, "same", func(_ context.Context, s shape) (shape, error) { return s, nil })
	multiprolab.HandleCall(w, "same-call", func(_ context.Context, s shape) (shape, error) { return s, nil })
	multiprolab.HandleTask(w, "any", func(_ context.Context, v any) (any, error) { return v, nil })
	multiprolab.HandleTask(
		w,
		"any-type",
		func(_ context.Context, v any) (string, error) { return fmt.Sprintf("%T", v), nil },
	)
	multiprolab.HandleTask(
		w,
		"string",
		func(_ context.Context, v fmt.Stringer) (string, error) { return v.String(), nil },
	)
	multiprolab.HandleTask(w, "error", func(_ context.Context, v error) (error, error) { return v, nil })
	multiprolab.HandleTask(w, "pointer", func(_ context.Context, s *shape) (float64, error) { return measure(*s), nil })
	multiprolab.HandleTask(w, "ghost", func(context.Context, int) (shape, error) { return ghost{1}, nil })
	multiprolab.HandleTask(w, "back", func(ctx context.Context, s shape) (float64, error) {
		same, err := multiprolab.Call[shape](ctx, w, "main", "same", s)
		return measure(same), err
	})
	multiprolab.HandleTask(w, "find", func(_ context.Context, name string) (*user, error) {
		if name == "" {
			return nil, nil
		}
		return &user{name}, nil
	})
	multiprolab.HandleCall(w, "find-call", func(_ context.Context, name string) (*user, error) { return nil, nil })
	multiprolab.HandleTask(w, "has", func(_ context.Context, u *user) (bool, error) { return u != nil, nil })
	multiprolab.HandleCall(w, "has-call", func(_ context.Context, u *user) (bool, error) { return u != nil, nil })
	multiprolab.HandleTask(w, "value", func(_ context.Context, u user) (string, error) { return u.Name, nil })
	multiprolab.Handle(
		w,
		"has-message",
		func(ctx context.Context, u *user) error { return multiprolab.Send(ctx, w, "main", "has", u) },
	)
	multiprolab.HandleTask(w, "bigs", func(_ context.Context, l []*big.Int) ([]*big.Int, error) { return l, nil })
	return nil
})

// An interface is a type like any other for handlers, results and items: what is behind it arrives,
// if gob.Register knows it.
func TestInterfacesAsTypes(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("typed", 2))
		areas := make(chan float64, 1)
		multiprolab.Handle(l, "area", func(_ context.Context, a float64) error { areas <- a; return nil })
		multiprolab.HandleCall(l, "same", func(_ context.Context, s shape) (shape, error) { return s, nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		shapes := []shape{
			square{2},
			circle{1},
			&blob{5},
			meters(3),
			alike1{{1}, {2}},
			crate{[]any{1, square{1}}},
			square{0},
			nil,
		}
		for _, s := range shapes {
			want := measure(s)
			got, err := multiprolab.Do[float64](ctx, l, "area", s)
			require.NoError(t, err, "%T", s)
			require.Equal(t, want, got)
			got, err = multiprolab.Do[float64](ctx, l, "area", &s) // a pointer to the interface
			require.NoError(t, err, "%T", s)
			require.Equal(t, want, got)
			got, err = multiprolab.Call[float64](ctx, l, "typed", "area-call", s)
			require.NoError(t, err, "%T", s)
			require.Equal(t, want, got)
			require.NoError(t, multiprolab.Send(ctx, l, "typed", "area-message", s))
			require.Equal(t, want, await(t, areas, "the area"))
			got, err = multiprolab.Do[float64](ctx, l, "back", s)
			require.NoError(t, err, "%T", s)
			require.Equal(t, want, got)

			same, err := multiprolab.Do[shape](ctx, l, "same", s)
			require.NoError(t, err, "%T", s)
			require.Equal(t, s, same)
			same, err = multiprolab.Call[shape](ctx, l, "typed", "same-call", s)
			require.NoError(t, err, "%T", s)
			require.Equal(t, s, same)
			f, err := multiprolab.Submit[shape](ctx, l, "same", s, nil)
			require.NoError(t, err)
			same, err = f.Wait(ctx)
			require.NoError(t, err)
			require.Equal(t, s, same)
			anything, err := multiprolab.Do[any](ctx, l, "any", s)
			require.NoError(t, err, "%T", s)
			require.Equal(t, any(s), anything)
		}
		for _, unordered := range []bool{false, true} {
			cfg := &multiprolab.MapConfig{Unordered: unordered}
			sum, n := 0.0, 0
			for a, err := range multiprolab.Map[float64](ctx, l, "area", slices.Values(slices.Repeat(shapes, 50)), cfg) {
				require.NoError(t, err)
				sum += a
				n++
			}
			require.Equal(t, 50*len(shapes), n)
			require.Equal(t, 50*(4+3+5+9+2+1+0-1.0), sum)
			n = 0
			for s, err := range multiprolab.Map[shape](ctx, l, "same", slices.Values(slices.Repeat(shapes, 50)), cfg) {
				require.NoError(t, err)
				if !unordered {
					require.Equal(t, shapes[n%len(shapes)], s)
				}
				n++
			}
			require.Equal(t, 50*len(shapes), n)
		}
		// The types that are known need not be the interface's at both ends.
		s, err := multiprolab.Do[square](ctx, l, "same", square{3})
		require.NoError(t, err)
		require.Equal(t, square{3}, s)
		b, err := multiprolab.Do[*blob](ctx, l, "same", &blob{4})
		require.NoError(t, err)
		require.Equal(t, &blob{4}, b)

		for _, v := range []any{1, int8(2), 2.5, "text", []byte("bytes"), true, uint64(3), []int{1}, map[string]any{"a": 1}, square{1}, []*square{{1}}, meters(2)} {
			got, err := multiprolab.Do[any](ctx, l, "any", v)
			require.NoError(t, err, "%T", v)
			require.Equal(t, v, got)
			typ, err := multiprolab.Do[string](ctx, l, "any-type", v)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%T", v), typ)
		}
		text, err := multiprolab.Do[string](ctx, l, "string", meters(2))
		require.NoError(t, err)
		require.Equal(t, "2 m", text)
		// which is a Stringer by way of a pointer alone
		text, err = multiprolab.Do[string](ctx, l, "string", &circle{2})
		require.NoError(t, err)
		require.Equal(t, "round", text)
		value, err := multiprolab.Do[error](ctx, l, "error", &user{"nobody"})
		require.NoError(t, err)
		require.Equal(t, &user{"nobody"}, value)

		// What cannot be known says so, by its name.
		_, err = multiprolab.Do[float64](ctx, l, "area", ghost{1})
		require.ErrorContains(
			t,
			err,
			"cannot decode the body of \"area\": it holds github.com/multiprolab/multiprolab_test.ghost",
		)
		require.ErrorContains(t, err, "gob.Register")
		for _, err := range multiprolab.Map[float64](ctx, l, "area", slices.Values([]shape{ghost{1}}), nil) {
			require.ErrorContains(t, err, "multiprolab_test.ghost")
			require.ErrorContains(t, err, "gob.Register")
		}
		_, err = multiprolab.Do[shape](ctx, l, "ghost", 1)
		requireDecodeError(t, err, "main", "ghost", "multiprolab_test.ghost", "gob.Register")
		_, err = multiprolab.Do[float64](ctx, l, "area", crate{ghost{1}})
		require.ErrorContains(t, err, "ghost")
		require.ErrorContains(t, err, "gob.Register")
		_, err = multiprolab.Do[float64](ctx, l, "area", 7) // known, and no shape
		require.ErrorContains(t, err, "it holds int, and github.com/multiprolab/multiprolab_test.shape is wanted")
		_, err = multiprolab.Do[float64](ctx, l, "area", "text")
		require.ErrorContains(t, err, "it holds string, and")
		_, err = multiprolab.Do[circle](ctx, l, "same", square{3})
		requireDecodeError(t, err, "main", "same", "it holds", "square", "circle is wanted")
	})
}

// A nil pointer is no body, in both directions: where a pointer is taken, it is nil; where a value
// is, that is an error, for nothing came.
func TestNilPointersAreNoBody(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("typed", 1))
		has := make(chan *user, 1)
		multiprolab.Handle(l, "has", func(_ context.Context, u *user) error { has <- u; return nil })
		multiprolab.Handle(l, "value", func(_ context.Context, u user) error { has <- &u; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		ctx := bounded(t)
		u, err := multiprolab.Do[*user](ctx, l, "find", "")
		require.NoError(t, err)
		require.Nil(t, u)
		u, err = multiprolab.Do[*user](ctx, l, "find", "ann")
		require.NoError(t, err)
		require.Equal(t, &user{"ann"}, u)
		u, err = multiprolab.Call[*user](ctx, l, "typed", "find-call", "")
		require.NoError(t, err)
		require.Nil(t, u)
		v, err := multiprolab.Do[any](ctx, l, "find", "")
		require.NoError(t, err)
		require.Nil(t, v)
		value, err := multiprolab.Do[user](ctx, l, "find", "ann")
		require.NoError(t, err)
		require.Equal(t, user{"ann"}, value)
		_, err = multiprolab.Do[user](ctx, l, "find", "") // nobody of that name is no user without a name
		requireDecodeError(t, err, "main", "find", "it has no body", "user is wanted", "take a pointer")
		_, err = multiprolab.Call[user](ctx, l, "typed", "find-call", "")
		requireDecodeError(t, err, "main", "find-call", "it has no body")
		var found []*user
		for u, err := range multiprolab.Map[*user](ctx, l, "find", slices.Values([]string{"a", "", "b"}), nil) {
			require.NoError(t, err)
			found = append(found, u)
		}
		require.Equal(t, []*user{{"a"}, nil, {"b"}}, found)

		var nobody *user
		var nothing **user
		for _, body := range []any{nobody, &nobody, nothing, nil} {
			got, err := multiprolab.Do[bool](ctx, l, "has", body)
			require.NoError(t, err)
			require.False(t, got)
			got, err = multiprolab.Call[bool](ctx, l, "typed", "has-call", body)
			require.NoError(t, err)
			require.False(t, got)
			require.NoError(t, multiprolab.Send(ctx, l, "typed", "has-message", body))
			require.Nil(t, await(t, has, "the message that comes back"))
			_, err = multiprolab.Do[string](ctx, l, "value", body)
			requireDecodeError(t, err, "typed/0", "value", "it has no body")
		}
		var answers []bool
		for got, err := range multiprolab.Map[bool](ctx, l, "has", slices.Values([]*user{nil, {"a"}, nil}), nil) {
			require.NoError(t, err)
			answers = append(answers, got)
		}
		require.Equal(t, []bool{false, true, false}, answers)
		require.NoError(t, multiprolab.Send(ctx, l, "main", "value", nobody))
		letter := waitEvent[*multiprolab.DeadLetter](t, l, nil)
		require.Contains(t, letter.Reason, "it has no body")
	})
}

// valueRow is a row of the table of values in the package documentation, with an instance of it:
// what was sent and what arrives, or a part of the error.
type valueRow struct {
	what string
	run  func(t *testing.T, ctx context.Context, p multiprolab.Process, typ string)
	join func(w *multiprolab.Worker, typ string)
}

func rowOf[T any](what string, sent any, want T) valueRow {
	check := func(t *testing.T, got T, err error) {
		require.NoError(t, err, what)
		require.True(
			t,
			sameValue(reflect.ValueOf(&want).Elem(), reflect.ValueOf(&got).Elem()),
			"%s: %#v is not %#v",
			what,
			got,
			want,
		)
	}
	return valueRow{what, func(t *testing.T, ctx context.Context, p multiprolab.Process, typ string) {
		got, err := multiprolab.Do[T](ctx, p, typ, sent)
		check(t, got, err)
		got, err = multiprolab.Call[T](ctx, p, "table", typ, sent)
		check(t, got, err)
	}, func(w *multiprolab.Worker, typ string) {
		multiprolab.HandleTask(w, typ, func(_ context.Context, v T) (T, error) { return v, nil })
		multiprolab.HandleCall(w, typ, func(_ context.Context, v T) (T, error) { return v, nil })
	}}
}

func refusal[T any](what string, sent any, text string) valueRow {
	r := rowOf[T](what, sent, *new(T))
	r.run = func(t *testing.T, ctx context.Context, p multiprolab.Process, typ string) {
		_, err := multiprolab.Do[T](ctx, p, typ, sent)
		require.ErrorContains(t, err, text, what)
		_, err = multiprolab.Call[T](ctx, p, "table", typ, sent)
		require.ErrorContains(t, err, text, what)
		var encode *multiprolab.EncodeError
		var decode *multiprolab.DecodeError
		require.True(t, errors.As(err, &encode) || errors.As(err, &decode), what)
	}
	return r
}

type (
	optional struct {
		Flag *bool
		N    *int
		Text *string
		List []int
		Raw  []byte
		Map  map[string]int
		Zero float64
	}
	optionalAny struct {
		OptionalFields
		Any any
	}
	twice    struct{ A, B *pair }
	deep     struct{ P **int }
	half     struct{ Public, hidden int }
	hidden   struct{ a int }
	hooked   struct{ F func() }
	private1 struct{ ID int }
	embed1   struct {
		private1
		Text string
	}
	ring struct{ Next *ring }
)

// OptionalFields are those of optional that gob loses.
type OptionalFields struct {
	Flag *bool
	List []int
	Zero float64
}

func table() []valueRow {
	minus := math.Copysign(0, -1)
	one := &pair{1, 2}
	circle1 := &ring{}
	circle1.Next = circle1
	now := time.Now()
	zone := time.FixedZone("Here", 3600)
	return []valueRow{
		rowOf("an optional field, such as a *bool", optional{}, optional{}),
		rowOf(
			"an optional field, such as a *bool",
			optional{Flag: p(false), N: p(0), Text: p(""), Zero: minus},
			optional{Flag: p(false), N: p(0), Text: p(""), Zero: minus},
		),
		rowOf(
			"an optional field, such as a *bool",
			[]optional{{Flag: p(true)}, {Flag: p(false)}, {}},
			[]optional{{Flag: p(true)}, {Flag: p(false)}, {}},
		),
		rowOf(
			"an empty slice in a field",
			optional{List: []int{}, Raw: []byte{}, Map: map[string]int{}},
			optional{List: []int{}, Raw: []byte{}, Map: map[string]int{}},
		),
		rowOf("an empty or nil slice elsewhere", []int{}, []int(nil)),
		rowOf("an empty or nil slice elsewhere", [][]int{{}, nil}, [][]int{nil, nil}),
		rowOf(
			"an empty or nil slice elsewhere",
			map[string][]int{"a": {}, "b": nil},
			map[string][]int{"a": nil, "b": nil},
		),
		rowOf("an empty or nil slice elsewhere", struct{ P *[]int }{&[]int{}}, struct{ P *[]int }{new([]int)}),
		rowOf("a nil map elsewhere", map[string]int(nil), map[string]int{}),
		rowOf("a nil map elsewhere", []map[int]string{nil}, []map[int]string{{}}),
		rowOf(
			"a nil map elsewhere",
			struct{ P *map[string]int }{new(map[string]int)},
			struct{ P *map[string]int }{&map[string]int{}},
		),
		rowOf("a nil []byte as the body", []byte(nil), []byte{}),
		rowOf("a nil or empty []any as the body", []any(nil), []any{}),
		rowOf[any]("a nil or empty []any as the body", []any{}, []any{}),
		rowOf("an empty slice in a field", optionalAny{OptionalFields{p(false), []int{}, minus}, 1},
			optionalAny{OptionalFields{p(false), []int{}, minus}, 1}),
		rowOf("a pointer", twice{one, one}, twice{&pair{1, 2}, &pair{1, 2}}),
		rowOf("a pointer to a nil pointer", deep{new(*int)}, deep{}),
		rowOf("a field that is not exported", half{1, 2}, half{1, 0}),
		rowOf("a time.Time", now, now.Round(0)),
		rowOf("a time.Time", time.Unix(1, 2).In(zone), time.Unix(1, 2).In(time.FixedZone("", 3600))),
		rowOf("a nil pointer as the body", (*pair)(nil), (*pair)(nil)),
		rowOf("a nil pointer as the body", (*pair)(nil), any(nil)),
		refusal[pair]("no body where a value is taken", (*pair)(nil), "it has no body"),
		refusal[[]int]("no body where a value is taken", nil, "it has no body"),
		rowOf[any]("a value behind an interface", square{2}, square{2}),
		rowOf[shape]("a value behind an interface", &square{2}, square{2}),
		rowOf[shape]("a value behind an interface", blob{2}, &blob{2}),
		rowOf("a value behind an interface", []any{&square{2}, &blob{3}, 1}, []any{square{2}, &blob{3}, 1}),
		rowOf("nil behind an interface", []any{nil, []any{nil}}, []any{nil, []any{nil}}),
		rowOf[any]("nil behind an interface", map[string]any{"a": nil}, map[string]any{"a": nil}),
		rowOf("a nil or empty slice or map behind one", []any{[]any(nil), []any{}, map[string]any(nil), map[string]any{}, []int{}},
			[]any{[]any(nil), []any{}, map[string]any(nil), map[string]any{}, []int{}}),
		rowOf[any]("a plain value behind an interface", json.Number("1"), json.Number("1")),
		rowOf[any]("a plain value behind an interface", crate{map[string]any{"a": []any{json.RawMessage("1"), now.Round(0)}}},
			crate{map[string]any{"a": []any{json.RawMessage("1"), now.Round(0)}}}),
		rowOf("a plain value behind an interface", json.RawMessage(`[1, null]`), json.RawMessage(`[1, null]`)),
		refusal[[]any]("a nil pointer behind an interface", []any{(*square)(nil)}, "holds a nil *multiprolab_test.square"),
		refusal[shape]("one of a type not known to gob.Register", ghost{1}, "gob.Register"),
		refusal[[]any]("one of a type not known to gob.Register", []any{ghost{1}}, "gob.Register"),
		refusal[[]*pair]("a nil pointer as an element", []*pair{nil}, "a nil pointer is among its elements"),
		refusal[map[string]*pair](
			"a nil pointer as an element",
			map[string]*pair{"a": nil},
			"a nil pointer is among its elements",
		),
		rowOf("a nil pointer as an element", []*big.Int{nil, big.NewInt(1)}, []*big.Int{new(big.Int), big.NewInt(1)}),
		refusal[[]*url.URL]("a nil pointer as an element", []*url.URL{nil}, "a nil pointer is among its elements"),
		refusal[int]("a func or a chan, in a field too", func() {}, "is a func"),
		refusal[hooked]("a func or a chan, in a field too", hooked{}, "F is a func"),
		refusal[embed1](
			"fields of an embedded lower-case type",
			embed1{private1{1}, "x"},
			"ID is a field of the embedded private1",
		),
		refusal[hidden]("a struct of which no field is exported", hidden{1}, "has no exported fields"),
		refusal[ring]("a value that holds itself", circle1, "a value that holds itself"),
	}
}

var _ = worker("table", func(ctx context.Context, w *multiprolab.Worker) error {
	for i, r := range table() {
		r.join(w, fmt.Sprint("row-", i))
	}
	return nil
})

// Each row of the table of values in the package documentation holds, and there is no other.
func TestTableOfValues(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	_, text, ok := strings.Cut(string(doc), "//	sent                                          arrives as\n")
	require.True(t, ok)
	text, _, _ = strings.Cut(text, "//\n")
	want, got := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(text) {
		if what := strings.TrimSpace(line[len("//	"):][:46]); what != "" { // else it goes on with the row before
			want[what] = true
		}
	}
	l := startLab(t, nil, workers("table", 1))
	for i, r := range table() {
		r.run(t, bounded(t), l, fmt.Sprint("row-", i))
		got[r.what] = true
	}
	require.Equal(t, want, got)
}
