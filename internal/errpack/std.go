package errpack

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"syscall"

	"github.com/multiprolab/multiprolab/internal/pack"
)

// This file is how the standard library's own errors cross: they keep their type and their
// identity, whatever the Form. If a user's error wraps some of them, they cross beside its text.
//
// The packages net and net/url are not imported, because they make the start of each worker a fifth
// longer, and its memory a fifth larger. Their errors are told by the names of their types. They
// are made again when errors.As asks for them with a pointer to a variable of the type: then the
// program has the package.

// stdSentinels are the standard library's errors that are matched by errors.Is, except for
// net.ErrClosed, see closedError.
var stdSentinels = []error{context.Canceled, context.DeadlineExceeded,
	fs.ErrInvalid, fs.ErrPermission, fs.ErrExist, fs.ErrNotExist, fs.ErrClosed, fs.SkipAll, fs.SkipDir,
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, io.ErrNoProgress, io.ErrShortBuffer, io.ErrShortWrite,
	os.ErrDeadlineExceeded, os.ErrProcessDone, os.ErrNoDeadline, os.ErrNoHandle, exec.ErrNotFound, exec.ErrDot,
	exec.ErrWaitDelay,
	strconv.ErrRange, strconv.ErrSyntax, errors.ErrUnsupported}

// stdStruct describes one of the standard library's errors that are pointers to structs. It never
// changes.
type stdStruct struct {
	pkg    string       // the path of the package
	name   string       // the name of the struct type
	typ    reflect.Type // the struct type; nil if its package is not imported here
	fields []stdField   // the exported fields of the struct
}

// stdField is one field of a stdStruct.
type stdField struct {
	name string  // the name of the field
	kind stdKind // what the field holds
}

// stdKind is what a field of a stdStruct holds.
type stdKind int

const (
	textField  stdKind = iota // a string
	flagField                 // a bool
	causeField                // an error
	addrField                 // a net.Addr
)

// stdStructs are the structs that cross. An index in this list is the number of the struct on the
// wire.
var stdStructs = []stdStruct{
	{"io/fs", "PathError", reflect.TypeFor[fs.PathError](),
		[]stdField{{"Op", textField}, {"Path", textField}, {"Err", causeField}}},
	{"os", "LinkError", reflect.TypeFor[os.LinkError](),
		[]stdField{{"Op", textField}, {"Old", textField}, {"New", textField}, {"Err", causeField}}},
	{"os", "SyscallError", reflect.TypeFor[os.SyscallError](), []stdField{{"Syscall", textField}, {"Err", causeField}}},
	{"os/exec", "Error", reflect.TypeFor[exec.Error](), []stdField{{"Name", textField}, {"Err", causeField}}},
	{"strconv", "NumError", reflect.TypeFor[strconv.NumError](),
		[]stdField{{"Func", textField}, {"Num", textField}, {"Err", causeField}}},
	{"net/url", "Error", nil, []stdField{{"Op", textField}, {"URL", textField}, {"Err", causeField}}},
	{"net", "OpError", nil,
		[]stdField{
			{"Op", textField},
			{"Net", textField},
			{"Source", addrField},
			{"Addr", addrField},
			{"Err", causeField},
		}},
	{"net", "DNSError", nil, []stdField{{"UnwrapErr", causeField}, {"Err", textField}, {"Name", textField},
		{"Server", textField}, {"IsTimeout", flagField}, {"IsTemporary", flagField},
		{"IsNotFound", flagField}}},
	{"net", "AddrError", nil, []stdField{{"Err", textField}, {"Addr", textField}}},
	{"net", "ParseError", nil, []stdField{{"Type", textField}, {"Text", textField}}},
}

// is reports whether t is the type of the errors that d describes.
func (d *stdStruct) is(t reflect.Type) bool {
	return t.Kind() == reflect.Pointer && t.Elem().Name() == d.name && t.Elem().PkgPath() == d.pkg
}

// stdStructOf returns the index in stdStructs of the description of an error, or -1 if there is
// none or if the error is a typed nil.
func stdStructOf(err error) int {
	v := reflect.ValueOf(err)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Kind() != reflect.Struct {
		return -1
	}
	for i := range stdStructs {
		if stdStructs[i].is(v.Type()) {
			return i
		}
	}
	return -1
}

// isNetClosed reports whether an error is net.ErrClosed itself.
func isNetClosed(err error) bool {
	if _, ok := err.(*closedError); ok {
		return true
	}
	t := reflect.TypeOf(err)
	return t != nil && t.PkgPath() == "internal/poll" && t.Name() == "errNetClosing"
}

// closedError is net.ErrClosed that came from another process. It matches net.ErrClosed, and has
// its text.
type closedError struct{}

func (*closedError) Error() string        { return "use of closed network connection" }
func (*closedError) Timeout() bool        { return false }
func (*closedError) Temporary() bool      { return false }
func (*closedError) Is(target error) bool { return isNetClosed(target) }

// errNoCause stands for a cause that is missing: methods of errors call the methods of their
// causes, which must not be nil.
var errNoCause = errors.New("of an unknown cause")

// structError is an error that came from another process, of a package that is not imported here.
// It has the methods that errors of these packages have. It never changes.
type structError struct {
	number    int    // the index of its description in stdStructs
	text      string // the text of the error
	timeout   bool   // what Timeout returns
	temporary bool   // what Temporary returns
	values    []any  // the values of the fields: each a string, a bool, an error or a *carriedAddr, or nil
}

func (e *structError) Error() string   { return e.text }
func (e *structError) Timeout() bool   { return e.timeout }
func (e *structError) Temporary() bool { return e.temporary }

// Unwrap returns the cause, or nil if there is none.
func (e *structError) Unwrap() error {
	for _, v := range e.values {
		if cause, ok := v.(error); ok {
			return cause
		}
	}
	return nil
}

// As makes the original error, if errors.As asks for its type.
func (e *structError) As(target any) bool {
	v := reflect.ValueOf(target).Elem()
	d := &stdStructs[e.number]
	if !d.is(v.Type()) {
		return false
	}
	made := reflect.New(v.Type().Elem())
	d.fill(made.Elem(), e.values)
	v.Set(made)
	return true
}

// fill sets the fields of a struct. If a cause is missing that is never nil in an honest error, it
// is errNoCause.
func (d *stdStruct) fill(s reflect.Value, values []any) {
	for i, f := range d.fields {
		field := s.FieldByName(f.name)
		value := values[i]
		if value == nil && f.kind == causeField && f.name == "Err" {
			value = errNoCause
		}
		if v := reflect.ValueOf(value); v.IsValid() && v.Type().AssignableTo(field.Type()) {
			field.Set(v)
		}
	}
}

// read returns the values of the fields of an error that d describes.
func (d *stdStruct) read(err error) []any {
	s := reflect.ValueOf(err).Elem()
	values := make([]any, len(d.fields))
	for i, f := range d.fields {
		field := s.FieldByName(f.name)
		switch addr, _ := field.Interface().(interface{ Network() string }); {
		case f.kind != addrField:
			values[i] = field.Interface() // a nil error becomes a nil any
		case addr != nil && !isNil(field.Elem()):
			values[i] = &carriedAddr{addr.Network(), field.Interface().(interface{ String() string }).String()}
		}
	}
	return values
}

// carriedAddr is a net.Addr that came from another process. It never changes.
type carriedAddr struct {
	network string // what Network returns
	text    string // what String returns
}

func (a *carriedAddr) Network() string { return a.network }
func (a *carriedAddr) String() string  { return a.text }

// packStruct packs an error that stdStructs describes.
func (e *Packing) packStruct(p *pack.Packing) {
	var made structError
	if carried, ok := e.err.(*structError); ok {
		made = *carried
		made.values = slices.Clone(made.values) // texts are cut in the clone, and not in the error
	} else if !p.Reading() {
		made.number = stdStructOf(e.err)
		made.text, made.values = Text(e.err), stdStructs[made.number].read(e.err)
		if t, ok := e.err.(interface{ Timeout() bool }); ok {
			made.timeout = t.Timeout()
		}
		if t, ok := e.err.(interface{ Temporary() bool }); ok {
			made.temporary = t.Temporary()
		}
	}
	pack.Number(p, &made.number)
	if made.number < 0 || made.number >= len(stdStructs) {
		p.Fail()
		return
	}
	d := &stdStructs[made.number]
	if d.typ == nil { // if the type is known here, its own methods return these
		e.text(p, &made.text)
		pack.Flag(p, &made.timeout)
		pack.Flag(p, &made.temporary)
	}
	if p.Reading() {
		made.values = make([]any, len(d.fields))
	}
	for i, f := range d.fields {
		e.packField(p, f.kind, &made.values[i])
	}
	switch {
	case !p.Reading():
	case d.typ != nil:
		v := reflect.New(d.typ)
		d.fill(v.Elem(), made.values)
		e.err = v.Interface().(error)
	default:
		e.err = &made
	}
}

// packField packs the value of a field.
func (e *Packing) packField(p *pack.Packing, kind stdKind, value *any) {
	switch kind {
	case textField:
		text, _ := (*value).(string)
		e.text(p, &text)
		*value = text
	case flagField:
		flag, _ := (*value).(bool)
		pack.Flag(p, &flag)
		*value = flag
	case causeField:
		cause, _ := (*value).(error)
		if e.inner(p, &cause); cause != nil {
			*value = cause
		}
	case addrField:
		addr, there := (*value).(*carriedAddr)
		if pack.Flag(p, &there); !there {
			return
		}
		var copied carriedAddr
		if addr != nil {
			copied = *addr
		}
		e.text(p, &copied.network)
		e.text(p, &copied.text)
		*value = &copied
	}
}

// stdParts returns the errors of the standard library that a user's error is or wraps: from each
// branch of its tree the outermost.
func stdParts(err error) []error {
	w := walk{fits: isStd}
	w.at(err)
	return w.found
}

// isStd reports whether an error is one of the standard library's that keep their type.
func isStd(err error) bool {
	switch err.(type) {
	case *structError, syscall.Errno:
		return true
	}
	return stdStructOf(err) >= 0 || isNetClosed(err)
}

// stdSentinelsOf returns the standard library's sentinels that an error matches.
func stdSentinelsOf(err error) (is []error) {
	for _, s := range stdSentinels {
		if errors.Is(err, s) {
			is = append(is, s)
		}
	}
	return is
}

// Plain returns an error with the text of err, which wraps nothing of err but errors of the
// standard library. err may be nil.
func Plain(err error) error {
	if err == nil {
		return nil
	}
	if is := append(stdParts(err), stdSentinelsOf(err)...); len(is) > 0 {
		return Carried(err.Error(), is...)
	}
	return errors.New(err.Error())
}

// isNil reports whether a value is nil, if it can be.
func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Func, reflect.Chan:
		return v.IsNil()
	}
	return false
}
