// What an API server says to our definitions, ModelCaches and policies, by its own code: libraries of Kubernetes as Debian packages
// them. Reads what cases.py writes, tells each answer that is another than the wanted one, and counts the others.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/klog/v2"
)

// Case is one request and the answer that is wanted: with Refusal empty it is accepted, else refused with words that contain it.
type Case struct {
	Name      string          `json:"name"`
	User      string          `json:"user"`
	Operation string          `json:"operation"`
	Resource  string          `json:"resource"`
	Object    json.RawMessage `json:"object"`
	OldObject json.RawMessage `json:"oldObject"`
	Refusal   string          `json:"refusal"`
}

// Group is what is installed first, and the requests that come then.
type Group struct {
	Name       string            `json:"name"`
	Definition json.RawMessage   `json:"definition"`
	Policies   []json.RawMessage `json:"policies"`
	Cases      []Case            `json:"cases"`
}

type server interface {
	// answer returns the words of a refusal, empty for none.
	answer(ctx context.Context, request Case) (string, error)
}

func main() {
	var groups []Group
	if err := json.NewDecoder(os.Stdin).Decode(&groups); err != nil {
		fmt.Fprintln(os.Stderr, "api-machinery: its input is no JSON of cases:", err)
		os.Exit(2)
	}
	// The libraries' own talk.
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	fmt.Printf("new CEL expressions may use what Kubernetes %s knows\n", compatibility())
	differing := 0
	for _, group := range groups {
		differing += check(group)
	}
	if differing > 0 {
		os.Exit(1)
	}
}

// check installs the group's objects, asks for each case, and returns how many answers differ.
func check(group Group) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked, faults := install(ctx, group)
	for _, fault := range faults {
		fmt.Printf("%s: %s\n", group.Name, fault)
	}
	differing := len(faults)
	if asked == nil {
		return max(differing, 1)
	}
	accepted, refused := 0, 0
	for _, one := range group.Cases {
		words, err := asked.answer(ctx, one)
		switch {
		case err != nil:
			words = "no answer: " + err.Error()
		case words == "" && one.Refusal == "":
			accepted++
			continue
		case words != "" && one.Refusal != "" && strings.Contains(words, one.Refusal):
			refused++
			continue
		}
		differing++
		fmt.Printf("%s: %s: wanted %s, got %s\n", group.Name, one.Name, told(one.Refusal), told(words))
	}
	fmt.Printf("%-28s %4d accepted, %4d refused as wanted, %d differ\n", group.Name, accepted, refused, differing)
	return differing
}

func told(words string) string {
	if words == "" {
		return "acceptance"
	}
	return "refusal: " + words
}

func install(ctx context.Context, group Group) (server, []string) {
	if group.Policies != nil {
		return newPolicies(ctx, group)
	}
	return newDefinition(ctx, group.Definition)
}
