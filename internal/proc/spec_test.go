package proc_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/multiprolab/multiprolab/internal/proc"
)

// The first value that cannot be is named, and why.
func TestSpecCheck(t *testing.T) {
	for want, spec := range map[string]proc.Spec{
		"":                          {Dir: "/", Env: []string{"A=", "B=C=D"}, DropEnv: []string{"A", "B_*"}},
		`Env[1] B: write it as`:     {Env: []string{"A=1", "B"}},
		`Env[0] =1: write it as`:    {Env: []string{"=1", "\x00"}},
		`Env[1] "A\x00=": it holds`: {Env: []string{"A=1", "A\x00="}},
		`Dir "/\x00": it holds`:     {Dir: "/\x00", Env: []string{"B"}},
		`DropEnv[0] : write`:        {DropEnv: []string{""}},
		`DropEnv[1] [A: write`:      {DropEnv: []string{"A", "[A"}},
		`DropEnv[0] "A\x00": it`:    {DropEnv: []string{"A\x00", ""}},
	} {
		err := spec.Check()
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
		require.NotErrorIs(t, err, errors.ErrUnsupported)
	}
}

// What a worker inherits, but for what is dropped, comes first, and then what is added.
func TestSpecEnviron(t *testing.T) {
	inherited := []string{"AWS_KEY=s", "KEPT=1", "AWS_/ID=s", "OLD=a=b"}
	spec := proc.Spec{Inherited: inherited, DropEnv: []string{"AWS_*", "OL"}, GoMemory: 5, Env: []string{"OLD=new"}}
	require.Equal(t, []string{"KEPT=1", "OLD=a=b", "GOMEMLIMIT=5", "OLD=new"}, spec.Environ())
	require.Equal(t, "AWS_KEY=s", inherited[0], "it is the caller's")
	require.Equal(t, inherited, (&proc.Spec{Inherited: inherited}).Environ())
	require.Empty(t, (&proc.Spec{Inherited: inherited, DropEnv: []string{"*"}}).Environ())
	t.Setenv("MP_TEST_INHERITED", "1")
	require.Contains(t, (&proc.Spec{}).Environ(), "MP_TEST_INHERITED=1")

	long := strings.Repeat("x", proc.MostOneString+1)
	require.Equal(t, -1, proc.TooLong([]string{"", long[1:]}))
	require.Equal(t, 1, proc.TooLong([]string{long[1:], long}))
	require.Equal(t, 3, proc.SizeOf([]string{"", "a"}))
}
