package multiprolab_test

import (
	"context"
	"encoding/gob"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
	"github.com/multiprolab/multiprolab/internal/proc"
)

// animal is known to gob in the processes that register what is behind it.
type animal interface{ Noise() string }

type cat struct{ Lives int }

func (c cat) Noise() string { return fmt.Sprint("miaow ", c.Lives) }

type onlyMainKnows struct{ N int }

func (onlyMainKnows) Noise() string { return "?" }

type onlyWorkerKnows struct{ N int }

func (onlyWorkerKnows) Noise() string { return "!" }

type cage struct{ Animal animal }

type withFunc struct{ F func() }

type withNilAnimal struct {
	Name   string
	Animal animal
}

func init() { gob.Register(cat{}) }

type point struct{ X, Y int }

type place struct{ X, Y int }

var _ = worker("zoo", func(ctx context.Context, w *multiprolab.Worker) error {
	if proc.Current() != nil { // goroutines share what is registered
		gob.Register(onlyWorkerKnows{})
	}
	noise := func(_ context.Context, c cage) (string, error) { return c.Animal.Noise(), nil }
	multiprolab.HandleTask(w, "noise", noise)
	multiprolab.HandleCall(w, "noise-call", noise)
	multiprolab.Handle(
		w,
		"noise-message",
		func(ctx context.Context, c cage) error { _, err := noise(ctx, c); return err },
	)
	multiprolab.HandleTask(w, "release", func(_ context.Context, what string) (any, error) {
		switch what {
		case "cat":
			return cage{cat{9}}, nil
		case "worker":
			return cage{onlyWorkerKnows{1}}, nil
		case "func":
			return withFunc{func() {}}, nil
		case "chan":
			return make(chan int), nil
		case "nil pointer":
			return []*cat{nil}, nil
		case "nothing":
			return nil, nil
		}
		return nil, fmt.Errorf("no %s here", what)
	})
	multiprolab.HandleTask(w, "point", func(_ context.Context, p point) (point, error) { return point{p.Y, p.X}, nil })
	multiprolab.HandleTask(w, "pid", func(context.Context, struct{}) (int, error) { return pidOf(w), nil })
	return nil
})

// pidOf identifies a life of a worker: goroutines have no pid of their own.
func pidOf(w *multiprolab.Worker) int { return w.Life() }

// C05: a body that cannot be encoded is an error to its own sender alone, and costs nothing: 100
// bad ones among 100 good ones.
func TestC05_BodiesThatDoNotEncode(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("zoo", 2))
		ctx := bounded(t)
		bad := []any{
			make(chan int),
			withFunc{func() {}},
			[]*point{nil},
			func() {},
			map[string]chan int{},
			[]withFunc{{}},
			struct{ A animal }{struct{ animal }{}},
		}
		failed := 0
		var futures []*multiprolab.Future[string]
		for i := range 100 {
			_, err := multiprolab.Submit[string](ctx, l, "noise", bad[i%len(bad)], nil)
			var encode *multiprolab.EncodeError
			require.ErrorAs(t, err, &encode, "%T", bad[i%len(bad)])
			require.Equal(t, "noise", encode.Type)
			require.Equal(t, fmt.Sprintf("%T", bad[i%len(bad)]), encode.GoType)
			require.NotEmpty(t, encode.Err.Error())
			failed++
			f, err := multiprolab.Submit[string](ctx, l, "noise", cage{cat{i}}, nil)
			require.NoError(t, err)
			futures = append(futures, f)
		}
		require.EqualValues(t, 100, l.Tasks().Stats().Received)
		for i, f := range futures {
			got, err := f.Wait(ctx)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("miaow ", i), got)
		}
		require.Equal(t, 100, failed)
		require.Equal(t, multiprolab.TaskStats{Received: 100, Succeeded: 100}, l.Tasks().Stats())
		var encode *multiprolab.EncodeError
		require.ErrorAs(t, multiprolab.Send(ctx, l, "zoo/0", "noise-message", withFunc{}), &encode)
		require.Equal(t, "zoo/0", encode.Receiver)
		_, err := multiprolab.Call[string](ctx, l, "zoo/0", "noise-call", []*cage{nil})
		require.ErrorAs(t, err, &encode)
		require.ErrorContains(t, err, "nil pointer")
		require.ErrorAs(t, multiprolab.Broadcast(ctx, l, "", "noise-message", make(chan int)), &encode)
	})
}

// C06: a result that cannot be encoded becomes an error with the reason; the same process serves
// the next task.
func TestC06_ResultsThatDoNotEncode(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("zoo", 1))
		pid, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
		require.NoError(t, err)
		for what, reason := range map[string]string{"func": "func", "chan": "chan", "nil pointer": "nil pointer"} {
			_, err := multiprolab.Do[cage](bounded(t), l, "release", what)
			var encode *multiprolab.EncodeError
			require.ErrorAs(t, err, &encode, what)
			require.ErrorContains(t, err, reason)
			require.ErrorContains(t, err, "release")
			again, err := multiprolab.Do[int](bounded(t), l, "pid", nil)
			require.NoError(t, err)
			require.Equal(t, pid, again)
		}
		require.EqualValues(t, 3, l.Tasks().Stats().Failed)
	})
}

// C07: a body that its receiver cannot decode is an error with the inner text and what to do, for
// the task alone.
func TestC07_BodiesThatDoNotDecode(t *testing.T) {
	l := startLab(t, nil, workers("zoo", 1)) // in processes only: goroutines share what is registered
	gob.Register(onlyMainKnows{})
	ctx := bounded(t)
	pid, err := multiprolab.Do[int](ctx, l, "pid", nil)
	require.NoError(t, err)

	_, err = multiprolab.Do[string](ctx, l, "noise", cage{onlyMainKnows{}})
	requireDecodeError(t, err, "zoo/0", "noise", "onlyMainKnows", "gob.Register")
	_, err = multiprolab.Call[string](ctx, l, "zoo", "noise-call", cage{onlyMainKnows{}})
	requireDecodeError(t, err, "zoo/0", "noise-call", "onlyMainKnows", "gob.Register")
	require.NoError(t, multiprolab.Send(ctx, l, "zoo", "noise-message", cage{onlyMainKnows{}}))
	letter := waitEvent[*multiprolab.DeadLetter](t, l, nil)
	require.Contains(t, letter.Reason, "onlyMainKnows")
	require.Equal(t, "noise-message", letter.Type)

	_, err = multiprolab.Do[cage](ctx, l, "release", "worker") // here it is main that cannot
	requireDecodeError(t, err, "main", "release", "onlyWorkerKnows", "gob.Register")
	got, err := multiprolab.Do[cage](ctx, l, "release", "cat")
	require.NoError(t, err)
	require.Equal(t, cage{cat{9}}, got)

	again, err := multiprolab.Do[int](ctx, l, "pid", nil)
	require.NoError(t, err)
	require.Equal(t, pid, again)
}

func requireDecodeError(t *testing.T, err error, receiver, typ string, words ...string) {
	t.Helper()
	var decode *multiprolab.DecodeError
	require.ErrorAs(t, err, &decode)
	require.Equal(t, receiver, decode.Receiver)
	require.Equal(t, typ, decode.Type)
	for _, word := range words {
		require.ErrorContains(t, err, word)
	}
}

// C07: a struct of another type is refused even if gob would take it, by both names.
func TestC07_MismatchedTypes(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := startLab(t, &multiprolab.Config{InProcess: inProcess}, workers("zoo", 1))
		ctx := bounded(t)
		got, err := multiprolab.Do[point](ctx, l, "point", point{1, 2})
		require.NoError(t, err)
		require.Equal(t, point{2, 1}, got)
		got, err = multiprolab.Do[point](ctx, l, "point", &point{1, 2}) // gob flattens pointers
		require.NoError(t, err)
		require.Equal(t, point{2, 1}, got)
		for _, body := range []any{place{1, 2}, "text", []byte("bytes"), 7, nil, map[string]int{"X": 1}, struct{ X int }{1}} {
			_, err = multiprolab.Do[point](ctx, l, "point", body)
			requireDecodeError(t, err, "zoo/0", "point", "point")
		}
		_, err = multiprolab.Do[place](ctx, l, "point", point{1, 2}) // the result, too
		requireDecodeError(t, err, "main", "point", "place", "point")
		_, err = multiprolab.Do[string](ctx, l, "point", point{1, 2})
		requireDecodeError(t, err, "main", "point", "string", "point")
		// What nobody looks at is not decoded.
		s, err := l.Tasks().Submit(ctx, "point", point{1, 2}, nil)
		require.NoError(t, err)
		require.NoError(t, s.Result(ctx, nil))
		// nil goes both ways.
		nothing, err := multiprolab.Do[any](ctx, l, "release", "nothing")
		require.NoError(t, err)
		require.Nil(t, nothing)
	})
}

// A pointer to nothing as a target is an error and no panic.
func TestDecodeIntoNothing(t *testing.T) {
	l := startLab(t, &multiprolab.Config{InProcess: true}, workers("zoo", 1))
	s, err := l.Tasks().Submit(bounded(t), "point", point{1, 2}, nil)
	require.NoError(t, err)
	for _, v := range []any{(*point)(nil), point{}, 7} {
		err := s.Result(bounded(t), v)
		requireDecodeError(t, err, "main", "point", "pointer")
	}
	var p point
	require.NoError(t, s.Result(bounded(t), &p)) // a result can be read again and again
	require.NoError(t, s.Result(bounded(t), &p))
	require.Equal(t, point{2, 1}, p)
}

// Values with interfaces, nil ones and several types behind one, come through; so do types that
// refer to themselves.
func TestInterfacesAndRecursion(t *testing.T) {
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("prog", 1))
		trees, named := make(chan tree, 1), make(chan withNilAnimal, 2)
		multiprolab.Handle(l, "tree", func(_ context.Context, n tree) error { trees <- n; return nil })
		multiprolab.Handle(l, "named", func(_ context.Context, n withNilAnimal) error { named <- n; return nil })
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		_, err := runProgram(t, l, "send a tree", "")
		require.NoError(t, err)
		require.Equal(t, tree{1, &tree{2, nil, &tree{N: 3}}, nil}, await(t, trees, "the tree"))
		require.Equal(t, withNilAnimal{"none", nil}, await(t, named, "the first"))
		require.Equal(t, withNilAnimal{"cat", cat{3}}, await(t, named, "the second"))
	})
}

type tree struct {
	N           int
	Left, Right *tree
}

var _ = program("send a tree", func(ctx context.Context, w *multiprolab.Worker, _ string) (string, error) {
	for typ, bodies := range map[string][]any{"tree": {tree{1, &tree{2, nil, &tree{N: 3}}, nil}}, "named": {withNilAnimal{"none", nil}, withNilAnimal{"cat", cat{3}}}} {
		for _, body := range bodies {
			if err := multiprolab.Send(ctx, w, "main", typ, body); err != nil {
				return "", err
			}
		}
	}
	return "", nil
})
