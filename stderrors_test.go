package multiprolab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab"
)

// stdFaults are errors of the standard library, made by it.
var stdFaults = map[string]func() error{
	"open": func() error { _, err := os.Open("/nonexistent/file"); return err },
	"exists": func() error {
		return os.Mkdir(os.TempDir(), 0o700)
	},
	"link":    func() error { return os.Rename("/nonexistent/old", "/nonexistent/new") },
	"syscall": func() error { return os.NewSyscallError("mkdirat", syscall.EEXIST) },
	"errno":   func() error { return syscall.ECONNREFUSED },
	"exec":    func() error { return exec.Command("no-such-program-anywhere").Run() },
	"number":  func() error { _, err := strconv.Atoi("12a"); return err },
	"range":   func() error { _, err := strconv.ParseInt("9999999999999999999999", 10, 64); return err },
	"url":     func() error { _, err := url.ParseRequestURI("relative"); return err },
	"dial": func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addr := l.Addr().String()
		l.Close()
		_, err = net.Dial("tcp", addr)
		return err
	},
	"get": func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addr := l.Addr().String()
		l.Close()
		_, err = http.Get("http://" + addr + "/x")
		return err
	},
	"closed": func() error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		l.Close()
		_, err = l.Accept()
		return err
	},
	"deadline": func() error {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		defer l.Close()
		l.SetDeadline(time.Unix(1, 0))
		_, err = l.Accept()
		return err
	},
	"read": func() error {
		r, _, err := os.Pipe()
		if err != nil {
			return err
		}
		r.Close()
		_, err = r.Read(make([]byte, 1))
		return err
	},
	"dns": func() error {
		return &net.DNSError{Err: "no such host", Name: "nowhere.invalid", Server: "127.0.0.1:53", IsNotFound: true}
	},
	"address":     func() error { _, _, err := net.SplitHostPort("nowhere"); return err },
	"parse":       func() error { _, _, err := net.ParseCIDR("x"); return err },
	"eof":         func() error { return io.EOF },
	"unexpected":  func() error { return fmt.Errorf("header: %w", io.ErrUnexpectedEOF) },
	"unsupported": func() error { return errors.ErrUnsupported },
	"joined": func() error {
		return errors.Join(io.EOF, &fs.PathError{Op: "x", Path: "y", Err: fs.ErrExist}, syscall.EPIPE)
	},
	"no cause":    func() error { return fmt.Errorf("%w", &fs.PathError{Op: "x", Path: "y", Err: errors.New("a text")}) },
	"not a cause": func() error { return &hollowError{&fs.PathError{Op: "open"}} },
	"cancelled":   func() error { return fmt.Errorf("query: %w", context.Canceled) },
	"panicking":   func() error { var e *panickingError; return e },
}

// hollowError wraps a *fs.PathError without a cause, whose own Error method panics.
type hollowError struct{ inner error }

func (e *hollowError) Error() string { return "hollow" }
func (e *hollowError) Unwrap() error { return e.inner }

type panickingError struct{ text string }

func (e *panickingError) Error() string { return e.text }

var _ = worker("faulty", func(_ context.Context, w *multiprolab.Worker) error {
	fail := func(_ context.Context, how string) (int, error) { return 0, stdFaults[how]() }
	multiprolab.HandleTask(w, "fault", fail)
	multiprolab.HandleCall(w, "fault", fail)
	return nil
})

// same checks that both errors have something of a type, and that its text and what f says of it
// are alike.
func same[E error](t *testing.T, want, got error, says func(E) any) {
	t.Helper()
	w, is := errors.AsType[E](want)
	g, ok := errors.AsType[E](got)
	require.Equal(t, is, ok, "%T in %v", w, got)
	if is {
		require.Equal(t, w.Error(), g.Error())
		require.Equal(t, says(w), says(g))
	}
}

// The standard library's errors keep their type, their fields and their identity on the way,
// without registration, however a user's error wraps them.
func TestStdErrorsCross(t *testing.T) {
	sentinels := []error{
		fs.ErrNotExist,
		fs.ErrExist,
		fs.ErrPermission,
		fs.ErrClosed,
		fs.ErrInvalid,
		io.EOF,
		io.ErrUnexpectedEOF,
		os.ErrDeadlineExceeded,
		net.ErrClosed,
		exec.ErrNotFound,
		context.Canceled,
		context.DeadlineExceeded,
		strconv.ErrRange,
		strconv.ErrSyntax,
		errors.ErrUnsupported,
		syscall.ENOENT,
		syscall.EEXIST,
		syscall.ECONNREFUSED,
		syscall.EPIPE,
	}
	both(t, func(t *testing.T, inProcess bool) {
		l := newLab(t, &multiprolab.Config{InProcess: inProcess}, workers("faulty", 1))
		require.NoError(t, l.Start(t.Context()))
		defer l.Close()
		for how, fault := range stdFaults {
			if how == "panicking" || how == "not a cause" {
				continue
			}
			t.Run(how, func(t *testing.T) {
				want := fault()
				_, asTask := multiprolab.Do[int](bounded(t), l, "fault", how)
				_, asCall := multiprolab.Call[int](bounded(t), l, "faulty", "fault", how)
				for _, got := range []error{asTask, asCall} {
					for _, s := range sentinels {
						require.Equal(t, errors.Is(want, s), errors.Is(got, s), "%v in %v", s, got)
					}
					same(t, want, got, func(e *fs.PathError) any { return [2]string{e.Op, e.Path} })
					same(t, want, got, func(e *os.LinkError) any { return [3]string{e.Op, e.Old, e.New} })
					same(t, want, got, func(e *os.SyscallError) any { return e.Syscall })
					same(t, want, got, func(e *exec.Error) any { return e.Name })
					same(t, want, got, func(e *strconv.NumError) any { return [3]string{e.Func, e.Num, e.Err.Error()} })
					same(t, want, got, func(e syscall.Errno) any { return e })
					same(t, want, got, func(e *net.DNSError) any { return *e })
					same(t, want, got, func(e *net.AddrError) any { return *e })
					same(t, want, got, func(e *net.ParseError) any { return *e })
					if how != "get" && how != "dial" && how != "closed" && how != "deadline" { // another port each time
						same(t, want, got, func(e *url.Error) any { return [3]any{e.Op, e.URL, e.Timeout()} })
					}
					w, is := errors.AsType[*net.OpError](want)
					g, ok := errors.AsType[*net.OpError](got)
					require.Equal(t, is, ok, "%v", got)
					if is {
						require.Equal(t, []any{w.Op, w.Net, w.Timeout(), w.Temporary(), w.Source == nil},
							[]any{g.Op, g.Net, g.Timeout(), g.Temporary(), g.Source == nil})
						require.Equal(t, w.Addr.Network(), g.Addr.Network())
						require.Regexp(t, `^127\.0\.0\.1:\d+$`, g.Addr.String())
					}
					if how == "get" {
						u, ok := errors.AsType[*url.Error](got)
						require.True(t, ok)
						require.Equal(t, "Get", u.Op)
						require.ErrorIs(t, u, syscall.ECONNREFUSED)
						_, ok = errors.AsType[*net.OpError](u)
						require.True(t, ok)
						require.Regexp(
							t,
							`^Get "http://127\.0\.0\.1:\d+/x": dial tcp 127\.0\.0\.1:\d+: connect: connection refused$`,
							u.Error(),
						)
					}
					var wantNet, gotNet net.Error
					require.Equal(t, errors.As(want, &wantNet), errors.As(got, &gotNet), "%v", got)
					if wantNet != nil {
						require.Equal(t, wantNet.Timeout(), gotNet.Timeout())
					}
				}
			})
		}
		for how, text := range map[string]string{"panicking": "whose methods panic", "not a cause": "hollow"} {
			_, err := multiprolab.Do[int](bounded(t), l, "fault", how)
			require.ErrorContains(t, err, text)
			_, ok := errors.AsType[*multiprolab.RemoteError](err)
			require.True(t, ok, "%T", err)
			if p, ok := errors.AsType[*fs.PathError](err); ok {
				require.NotEmpty(t, p.Error())
			}
		}
	})
}
