package thumbs

import (
	"os"
	"testing"
)

func TestMake(t *testing.T) {
	thumb, err := Make(t.Context(), 21)
	if err != nil || thumb.Twice != 42 || thumb.PID == os.Getpid() || thumb.Parent != os.Getpid() {
		t.Errorf("%+v %v, in %d", thumb, err, os.Getpid())
	}
	if looping, err := Looping(t.Context()); err != nil || !looping {
		t.Errorf("%v %v", looping, err)
	}
	if nested, err := Nested(t.Context()); err != nil || !nested {
		t.Errorf("%v %v", nested, err)
	}
	if err := Close(); err != nil {
		t.Error(err)
	}
}
