package errpack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// told is an error of a user as it crosses: a text, and what it keeps.
type told struct {
	Text string
	Kept Kept
}

func (e *told) Error() string   { return e.Text }
func (e *told) Unwrap() []error { return e.Kept.Errors() }

// page is an error of a user, with a cause in a field.
type page struct {
	Number int
	Err    error
}

func (e *page) Error() string { return fmt.Sprint("page ", e.Number, ": ", e.Err) }
func (e *page) Unwrap() error { return e.Err }

// loud is an error whose Error method panics unless it was filled in.
type loud struct{ Quiet bool }

func (e *loud) Error() string {
	if !e.Quiet {
		panic("boom")
	}
	return "quiet"
}

// tell returns an error of a user as another process with the same known errors has it.
func tell(t *testing.T, known Known, err error) *told {
	t.Helper()
	of := &told{Text: Text(err)}
	known.Keep(&of.Kept, err, &codec.Codec{})
	got := cross(t, of).(*told)
	known.Recognise(&got.Kept, &codec.Codec{})
	known.Recognise(&got.Kept, &codec.Codec{}) // a second time adds nothing
	return got
}

func TestKeptIsWhatTheOriginalWas(t *testing.T) {
	errBlank := errors.New("blank")
	known := Known{errBlank, &page{}, &page{Number: 1}, &fs.PathError{}, io.EOF}
	torn := &page{7, &fs.PathError{Op: "read", Path: "/p", Err: syscall.EIO}}
	got := tell(t, known, fmt.Errorf("book: %w, %w", errBlank, torn))
	require.ErrorIs(t, got, errBlank)
	require.ErrorIs(t, got, syscall.EIO)
	require.NotErrorIs(t, got, io.EOF)
	found, ok := errors.AsType[*page](got)
	require.True(t, ok)
	require.Equal(t, &page{7, &fs.PathError{Op: "read", Path: "/p", Err: syscall.EIO}}, found)
	require.Len(t, got.Unwrap(), 3, "%v", got.Unwrap()) // the sentinel, the page, and the path as an error of its own

	again := cross(t, got).(*told) // as main passes it on
	require.NotErrorIs(t, again, errBlank, "nobody has recognised it there")
	known.Recognise(&again.Kept, &codec.Codec{})
	require.ErrorIs(t, again, errBlank)
	copied := *again
	require.ErrorIs(t, &copied, errBlank)
	copied.Kept.Forget()
	require.NotErrorIs(t, &copied, errBlank)
	require.ErrorIs(t, &copied, syscall.EIO)
	require.ErrorIs(t, again, errBlank)
}

// What a process that lies may have sent is left out.
func TestKeptOfAProcessThatLies(t *testing.T) {
	payload := func(v any) codec.Payload {
		p, err := (&codec.Codec{}).Encode(v)
		require.NoError(t, err)
		return p
	}
	of := &told{Kept: Kept{
		is:    []error{errKnown, io.EOF},
		parts: []error{errors.New("none of the standard library")},
		known: []int{-1, 7, 0},
		typed: []typed{{-1, codec.Payload{}, nil}, {7, codec.Payload{}, nil}, {0, codec.Payload{}, nil},
			{1, payload((*page)(nil)), []error{io.EOF}}, {1, payload(&page{Number: 3}), []error{io.EOF, io.EOF, nil}},
			{2, payload(&loud{}), nil}},
	}}
	got := cross(t, of).(*told)
	known := Known{errKnown, &page{}, &loud{}}
	known.Recognise(&got.Kept, &codec.Codec{})
	require.Equal(t, []error{io.EOF, errKnown, &page{3, io.EOF}}, got.Unwrap())
	Known(nil).Recognise(&got.Kept, &codec.Codec{})
}

// If there is no room for the registered errors, the text and the size do not suffer.
func TestKeptFits(t *testing.T) {
	of := &told{Text: "x", Kept: Kept{known: make([]int, 100_000),
		typed: []typed{{0, codec.Payload{Data: []byte(strings.Repeat("x", 1<<20))}, nil}}}}
	require.Equal(t, "x", cross(t, of).Error())
	require.Len(t, of.Kept.known, 100_000, "the error itself is not changed")
}

// An error whose methods panic keeps what was found until then.
func TestKeepOfAnErrorThatPanics(t *testing.T) {
	var k Kept
	require.Panics(t, func() { Known{io.EOF}.Keep(&k, bomb{"Unwrap"}, &codec.Codec{}) })
	require.Empty(t, k.Errors())
}

func TestUnsendable(t *testing.T) {
	type bare struct{ error }
	known := Known{errKnown, fmt.Errorf("wrapped: %w", errKnown), &page{}, &fs.PathError{}, bomb{},
		&closedError{}, &bare{},
		&channelError{}}
	var found []error
	for err, why := range known.Unsendable(&codec.Codec{}) {
		require.Error(t, why)
		found = append(found, err)
	}
	require.Equal(t, []error{bomb{}, &bare{}, &channelError{}}, found)
	for range known.Unsendable(&codec.Codec{}) {
		break
	}
}

// channelError cannot be sent.
type channelError struct{ C chan int }

func (e *channelError) Error() string { return "channel" }
