package shared

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A process gets what its subscription names and what is published, and is told of the next version
// once it has asked.
func TestPublisherPasses(t *testing.T) {
	segment := func() *Segment {
		s, err := New(bytes.NewReader([]byte("data")))
		require.NoError(t, err)
		return s
	}
	var p Publisher
	lane, _ := NewLocalLane()
	var told []uint64
	to := &Subscription{Lane: lane, Names: []string{"n"}, Tell: func(name string, n *News) {
		require.Equal(t, "n", name)
		told = append(told, n.Version)
	}}
	for _, c := range []struct {
		to   *Subscription
		name string
		want error
	}{{nil, "n", ErrNotAllowed}, {to, "other", ErrNotAllowed}, {to, "n", ErrNotPublished}} {
		_, err := p.Pass(c.name, c.to)
		require.Equal(t, c.want, err)
	}
	require.Zero(t, p.Replace("n", nil))
	require.EqualValues(t, 1, p.Replace("other", segment()))
	require.EqualValues(t, 1, p.Replace("n", segment()))
	n, err := p.Pass("n", to)
	require.NoError(t, err)
	require.Equal(t, News{Version: 1, Size: 4, Handle: n.Handle}, *n)
	require.EqualValues(t, 2, p.Replace("n", nil))
	require.EqualValues(t, 3, p.Replace("n", segment()), "the number of a version never comes again")
	p.Leave(to)
	p.Leave(nil)
	_, err = p.Pass("n", to)
	require.Equal(t, os.ErrClosed, err, "the process has come to its end")
	require.EqualValues(t, 4, p.Replace("n", segment()))
	require.Equal(t, []uint64{1, 2, 3}, told)
	p.Close()
	require.Zero(t, p.Replace("n", segment()))
	_, err = p.Pass("n", &Subscription{Lane: lane, Names: []string{"n"}})
	require.Equal(t, ErrNotPublished, err)
}

// However publishing, asking and giving back meet, who asks gets a version, and never an older one
// than before.
func TestPublisherAndSubscriber(t *testing.T) {
	var p Publisher
	defer p.Close()
	lane, outlet := NewLocalLane()
	asked := make(chan string, 1)
	s := NewSubscriber(outlet, func(name string) { asked <- name })
	defer s.Close()
	tell := func(name string, n *News) { s.Told(name, n.Version) }
	to := &Subscription{Lane: lane, Names: []string{"a", "b"}, Tell: tell}
	defer p.Leave(to)
	publish := func(name string) {
		made, err := New(bytes.NewReader([]byte("data")))
		require.NoError(t, err)
		require.NotZero(t, p.Replace(name, made))
	}
	publish("a")
	publish("b")
	answered := make(chan struct{})
	go func() { // ends with the test, which closes asked
		defer close(answered)
		for name := range asked {
			n, err := p.Pass(name, to)
			s.Take(name, n, err)
		}
	}()
	var users sync.WaitGroup
	for _, name := range []string{"a", "a", "b"} {
		users.Go(func() {
			last := uint64(0)
			for range 100 {
				v := s.Use(name, 0)
				if v == nil {
					var err error
					v, err = s.Await(context.Background(), name, nil)
					if err != nil || v == nil || v.Number < last {
						t.Errorf("%v (%v) after version %d", v, err, last)
						return
					}
				}
				last = v.Number
				s.Release(v)
				publish(name)
			}
		})
	}
	users.Wait()
	close(asked)
	<-answered
	s.Close()
	require.Zero(t, s.Size())
}

// A function keeps one version of a name, and gives it back when it returns.
func TestHolds(t *testing.T) {
	c := &Cache{Unmap: func([]byte) {}}
	c.Add("n", 1, []byte("1"))
	h := NewHolds[string](c)
	one, two := "one", "two"
	require.Nil(t, h.Find("n"))
	require.Same(t, &one, h.Keep("n", c.Use("n", 0), &one))
	require.Same(t, &one, h.Keep("n", c.Use("n", 0), &two), "the first one counts")
	require.Same(t, &one, h.Find("n"))
	c.Told("n", 2)
	require.EqualValues(t, 1, c.Size())
	h.Release()
	require.Zero(t, c.Size())
	c.Add("n", 2, []byte("22"))
	require.Nil(t, h.Keep("n", c.Use("n", 0), &two), "the function has returned")
	c.Close()
	require.Zero(t, c.Size())
}
