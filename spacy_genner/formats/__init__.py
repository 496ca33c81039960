from typing import NamedTuple
class CharSpan(NamedTuple):
    start: int
    end: int
    label: str
def crossings(spans):
    s=sorted(spans,key=lambda x:(x[0],-x[1])); out=[]
    for i,a in enumerate(s):
        for b in s[i+1:]:
            if a[0]<b[0]<a[1]<b[1]: out.append((a,b))
    return out
def drop_crossing(spans):
    kept=[];dropped=[]
    for s in sorted(spans,key=lambda s:s[0]-s[1]):
        if any(crossings([s,k]) for k in kept): dropped.append(s)
        else: kept.append(s)
    return kept,dropped
class B:
    name="inline_bracketed"; open_names_label=False
    def open_mark(s,l): return "["
    def close_mark(s,l): return f" | {l}]"
    def check_label(s,l): pass
    def render(self,text,spans,labels=None):
        out=text
        ev=[]
        for s in spans: ev.append((s.start,1,-s.end,"[")); ev.append((s.end,0,-s.start,f" | {s.label}]"))
        res="";last=0
        for p,_,_,m in sorted(ev): res+=text[last:p]+m; last=p
        return res+text[last:]
def get_format(n): return B()
FORMATS=("inline_bracketed",)
