package errpack

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/codec"
)

// fault is an error of a type that testForm knows.
type fault struct {
	Place  string
	Stderr string
	Causes []error
	Names  []string
	Err    error
	left   int // how many causes were left out
}

func (f *fault) Error() string { return "fault at " + f.Place }
func (f *fault) Unwrap() error { return f.Err }

var errKnown = errors.New("known")

var testForm = NewForm([]error{errKnown}, TypeOf(func(f *fault) Fields {
	return Fields{&f.Place, Stderr(&f.Stderr), Last(&f.Causes, &f.left), &f.Names, &f.Err}
}), TypeOf(func(e *told) Fields { return Fields{&e.Text, &e.Kept} }))

// cross returns an error as it is at the other end.
func cross(t *testing.T, err error) error {
	t.Helper()
	b := testForm.Marshal(err)
	require.LessOrEqual(t, len(b), MaxSize)
	got, broken := testForm.Unmarshal(b)
	require.NoError(t, broken)
	require.Error(t, got)
	return got
}

func TestErrorsOfTheFormKeepWhatTheyAre(t *testing.T) {
	require.Same(t, errKnown, cross(t, errKnown), "a sentinel")
	of := &fault{Place: "here", Stderr: "stacks", Causes: []error{io.EOF, errors.New("other")}, Names: []string{"a", "b"},
		Err: fmt.Errorf("behind it: %w", errKnown)}
	got := cross(t, of)
	require.IsType(t, of, got, "a type")
	require.Equal(t, of.Causes, got.(*fault).Causes)
	require.Equal(t, of.Names, got.(*fault).Names)
	require.ErrorIs(t, got, errKnown)

	wrapped := cross(t, fmt.Errorf("a user says: %w, %w", of, errKnown))
	require.EqualError(t, wrapped, "a user says: fault at here, known")
	require.ErrorIs(t, wrapped, errKnown)
	var inner *fault
	require.ErrorAs(t, wrapped, &inner)
	require.Equal(t, "stacks", inner.Stderr)

	require.NotErrorIs(t, cross(t, errors.New("known")), errKnown, "a text is no sentinel")
	require.EqualError(t, cross(t, (*fault)(nil)), cross(t, (*fault)(nil)).Error(), "a typed nil is a text")
}

func TestErrorsOfTheStandardLibraryKeepWhatTheyAre(t *testing.T) {
	for _, s := range append(stdSentinels, net.ErrClosed, syscall.ENOSPC) {
		require.ErrorIs(t, cross(t, s), s)
		require.ErrorIs(t, cross(t, fmt.Errorf("wrapped: %w", s)), s)
	}
	_, err := os.Open("/nonexistent/file")
	got := cross(t, err)
	require.Equal(t, err, got)
	require.ErrorIs(t, got, fs.ErrNotExist)

	of := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{Port: 1}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	got = cross(t, fmt.Errorf("outer: %w", of))
	var op *net.OpError
	require.ErrorAs(t, got, &op)
	require.Equal(t, "dial", op.Op)
	require.Equal(t, of.Addr.String(), op.Addr.String())
	require.ErrorIs(t, got, syscall.ECONNREFUSED)
	require.Equal(t, []error{of}, stdParts(fmt.Errorf("outer: %w", of)))
}

// TestErrorsFit: whatever an error is, what was packed has at most MaxSize bytes, and can be read.
func TestErrorsFit(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	deep := error(&fault{Place: "bottom"})
	for range 3 * MaxDepth {
		deep = &fault{Place: "floor", Err: deep}
	}
	many := &fault{Place: "many"}
	for range 2 * MaxParts {
		many.Causes = append(many.Causes, &fault{Place: "one", Stderr: strings.Repeat("s", 1<<10)})
		many.Names = append(many.Names, "name")
	}
	for what, err := range map[string]error{
		"a long text": errors.New(long), "long texts": &fault{Place: long, Stderr: long, Names: []string{long, long}},
		"depth": deep, "many": many, "wrapped": fmt.Errorf("%s: %w", long, many),
	} {
		t.Run(what, func(t *testing.T) { require.NotEmpty(t, cross(t, err).Error()) })
	}
	got := cross(t, many).(*fault)
	require.Equal(t, 2*MaxParts, got.left+len(got.Causes), "what is left out is counted")
	require.Len(t, many.Causes, 2*MaxParts, "the error itself is not changed")
}

// bomb is an error whose methods panic.
type bomb struct{ in string }

func (b bomb) Error() string {
	if b.in == "Error" {
		panic("boom")
	}
	return "bomb"
}

func (b bomb) Is(error) bool {
	if b.in == "Is" {
		panic("boom")
	}
	return false
}

func (b bomb) Unwrap() error {
	if b.in == "Unwrap" {
		panic("boom")
	}
	return nil
}

func TestErrorsWhoseMethodsPanicAreTexts(t *testing.T) {
	for _, in := range []string{"Error", "Is", "Unwrap"} {
		require.Contains(t, cross(t, bomb{in}).Error(), "whose methods panic: boom", in)
		got := cross(t, &fault{Err: bomb{in}})
		require.Contains(t, fmt.Sprint(got, errors.Unwrap(got)), "whose methods panic: boom", in)
	}
}

// FuzzUnmarshal: what a worker that lies has written makes an error that can be used and sent on.
func FuzzUnmarshal(f *testing.F) {
	for _, err := range append(stdSentinels, errKnown, net.ErrClosed, syscall.EIO, errors.New("text"),
		&net.OpError{Op: "read", Err: io.EOF}, &fault{Place: "p", Causes: []error{io.EOF}, Err: fs.ErrExist},
		&told{Kept: Kept{is: []error{io.EOF}, known: []int{0}, typed: []typed{
			{1, codec.Payload{}, []error{io.EOF}},
		}}}) {
		f.Add(testForm.Marshal(err))
		f.Add(testForm.Marshal(fmt.Errorf("wrapped: %w", err)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err, _ := testForm.Unmarshal(b)
		_ = err.Error()
		_ = stdSentinelsOf(err)
		if e, ok := err.(*told); ok {
			Known{errKnown, &page{}}.Recognise(&e.Kept, &codec.Codec{})
		}
		var op *net.OpError
		if errors.As(err, &op) {
			_ = op.Error()
		}
		if again := testForm.Marshal(err); len(again) > MaxSize {
			t.Errorf("it needs %d bytes", len(again))
		} else if _, broken := testForm.Unmarshal(again); broken != nil {
			t.Error(broken)
		}
	})
}

// Each of the sentinels of a large Form keeps its identity, on machines of 32 bits as well.
func TestManySentinels(t *testing.T) {
	var all []error
	for i := range 80 {
		all = append(all, fmt.Errorf("sentinel %d", i))
	}
	form := NewForm(all)
	for _, some := range [][]error{all[:1], all[40:41], all[79:], {all[3], all[35], all[70]}, {io.EOF, all[64]}} {
		for _, err := range append(slices.Clone(some), fmt.Errorf("wrapped: %w", errors.Join(some...))) {
			got, broken := form.Unmarshal(form.Marshal(err))
			require.NoError(t, broken)
			require.Equal(t, err.Error(), got.Error())
			for _, s := range all {
				require.Equal(t, errors.Is(err, s), errors.Is(got, s), "%v of %v", s, err)
			}
		}
	}
}
