"""Pairs of a reference answer and a prediction, by kind: those that are equal and those that differ.

A line is `answer ~ prediction`; `↵` stands for a line break.
"""

from __future__ import annotations

SAME = {
    "short texts": r"""
42 ~ The answer is 42.
42 ~ #### 42
42 ~ **42**
42 ~ Answer: 42
42 ~ 42.
42 ~ answer is: 42
42 ~ Final Answer: 42
42 ~ So the answer is 42!
42 ~ __42__
42 ~ *42*
42 ~ `42`
x+1 ~ Answer: 1+x
42 ~ = 42
42 ~ Therefore 42.
42 ~ It is 42.
42 ~ He has 42 apples.
42 ~ Tom has 12 + 30 = 42 nuts.
42 ~ $42
\text{yes} ~ Answer: Yes
C ~ The answer is (C).
C ~ The correct answer is C
no solution ~ no solution
East ~ east
5 ~ x = 5
-3 ~ The answer is -3
1/2 ~ The answer is 1/2.
0.5 ~ The answer is 0.5.
5 ~ \text{The answer is } 5
12 ~ <answer>12</answer>
42 ~ Answer: $42$.
42 ~ **Final Answer**↵↵42
42 ~ **Final Answer:** $\boxed{42}$
42 ~ The final answer is $42$. I hope it is correct.
42 ~ ### Answer↵42
41 ~ The answer is not 42 but 41.
42 ~ Answer= 42
17 ~ The final answer is 17
17 ~ Final answer: 17
17 ~ answer: **17**
17 ~ > 17
17 ~ # 17
17 ~ #### 17.0
-8 ~ #### -8
1250 ~ #### 1,250
17 ~ Ans: 17
17 ~ The answer is: 17.
17 ~ Result: 17
17 ~ Solution: 17
17 ~ = 17.
17 ~ So, 17.
17 ~ approximately 17
17 ~ x=17.
17 ~ The answer is 17, since 8+9=17.
17 ~ **17.**
17 ~ $\mathbf{17}$
17 ~ \textbf{17}
17 ~ The value of x is 17.
17 ~ x equals 17
B ~ B
B ~ (B)
B ~ B)
B ~ B. 12
B ~ Answer: B
B ~ The answer is (B) 12.
B ~ \textbf{(B)}
B ~ \textbf{(B) } 12
B ~ Option B
17 ~ 17↵
17 ~ Answer:↵↵17
17 ~ Answer:↵$$17$$
\frac{3}{4} ~ The answer is \frac{3}{4}.
\frac{3}{4} ~ Therefore the probability is 3/4.
0.75 ~ Therefore the probability is 0.75.
3x+2 ~ The answer is $3x+2$.
x=2 ~ The solution is x = 2.
yes ~ Yes.
\text{no} ~ The answer is no.
17 ~ "17"
17 ~ The answer is \(17\)
17 ~ The answer is $\boxed{17}$
""",
    "prose": r"""
12 ~ **Answer:** 12
12 ~ **Answer: 12**
5/8 ~ \[\frac{5}{8}\]
5/8 ~ So we get↵\[↵\frac{5}{8}.↵\]
70 ~ The bike cost $130 and sold for $200, so $70
5/8 ~ $$\frac{5}{8}$$
5/8 ~ It is \(\frac58\).
55000 ~ The gain is $90,000 - $35,000 = $55,000.
70 ~ a $130 cost and $200 sale make $70 profit, altogether.
84 ~ The total is 84 pins, altogether.
31 ~ the total cost of the order is $31.00.
7400 ~ The answer is $7{,}400.
8000 ~ \boxed{8,000}
7400 ~ \boxed{$7{,}400}
8 ~ The answer is **8**. This holds since 3 + 5 = 8 and 2 is even.
10 ~ We find $x = 4$ and $y = 6$, so $x + y = 10$.
10 ~ Final answer: **10 apples**
4 ~ **Answer:** 4.
4 ~ ✅ Final Answer: **4**
4 ~ the answer is↵↵\[4\]
385 ~ \boxed{\text{The answer is 385}}
-5 ~ The result is -5.
12 ~ Answer: 12 dollars
50\% ~ The rate is 50%.
7 ~ \begin{align*} x &= 3+4 \\ &= 7 \end{align*}
7 ~ Thus, x = 7 (as required).
1234 ~ There were 1,234 people.
4 ~ Step 1: 8↵Step 2: 8 - 4 = 4
4 ~ Half of 8 is 4
18 ~ Each of the 3 kids gets 6, so 18 in total.
21 ~ Mia earns 7 * 3 = $21 a day.
21 ~ Mia earns $21.
21 ~ Mia earns **$21** per day.
55 ~ Ben pays $35 + $20 = $55 for the pens.
600 ~ 4 walks of 50 meters are 200 meters; 3*200 = 600 meters a week.
20 ~ That leaves 20 cups.
160 ~ In total it takes 160 minutes.
5 ~ **Step 1:** 2+3↵↵**Final answer:** 5
5 ~ First we get $2$.↵Then $x = 5$.
\frac{7}{9} ~ Hence↵$$x = \frac{7}{9}.$$
\frac{7}{9} ~ Hence \[ x = \frac{7}{9} \] as desired.
\frac{7}{9} ~ We obtain \frac{7}{9}
2\sqrt{3} ~ The length is 2\sqrt{3}.
2\sqrt{3} ~ The length is $2\sqrt{3}$ cm.
5 \text{ m} ~ The rope is 5 m long.
5000000 ~ There are 5 million people.
3.5 ~ It takes 3.5 hours.
25 ~ The discount is 25%.
1,200 ~ He pays $1,200 in total
1200 ~ He pays $1,200.00 in total.
7 ~ So $n=7$.
(2,3) ~ The point is $(2,3)$.
(2,3) ~ The point is (2,3).
3, 5 ~ The solutions are $3$ and $5$.
3, 5 ~ The answers are 3 and 5.
3, 5 ~ The answer is $x=3$ or $x=5$.
x^2+1 ~ Thus the polynomial is $x^2+1$.
12 ~ The price went from $10 to $12
2 ~ We need 2 (two) boxes.
100 ~ The total is $100 USD.
\$100 ~ The total is $100.
""",
    "white space and case": r"""
\text{Yes} ~ yes
\text{yes} ~ Yes
Monday ~ monday
\text{EAST} ~ east
True ~ true
\text{No} ~ no
NO ~ no
x + y ~ x+y
a b ~ ab
( 1 , 2 ) ~ (1,2)
2 x ~ 2x
\sin x ~ sin x
not possible ~ Not possible
\text{Red, Blue} ~ red, blue
x_1 ~ x_{1}
\text{True} ~ TRUE
\text{blue} ~ Blue
\text{Monday} ~ monday
Infinite ~ infinite
\text{all real numbers} ~ All real numbers
no real solutions ~ No real solutions.
1 + 2 x ~ 1+2x
\frac{ 1 }{ 2 } ~ \frac{1}{2}
x ^ 2 ~ x^2
- 3 ~ -3
""",
    "mixed numbers": r"""
5/2 ~ 2 1/2
\frac{5}{2} ~ 2\frac{1}{2}
2\frac12 ~ 2.5
-5/2 ~ -2 1/2
-\frac{5}{2} ~ -2\frac{1}{2}
5/2 ~ 2\tfrac12
7/4 ~ 1 \dfrac{3}{4}
3 3/4 ~ 15/4
3 3/4 ~ 3.75
5/2 ~ 2½
1/2 ~ ½
2\frac{x}{3} ~ \frac{2x}{3}
1 ~ 2 \cdot \frac{1}{2}
5/2 ~ 2 + 1/2
5/2 ~ 2+\frac12
2.5 ~ 2 1/2 \text{ hours}
13/4 ~ 3 1/4
7/3 ~ 2 1/3
-7/3 ~ -2 1/3
1 1/2 ~ 3/2
1\frac{1}{2} ~ 1.5
4\frac{2}{5} ~ \frac{22}{5}
\frac{22}{5} ~ 4.4
241 \frac{1}{2} ~ 241.5
1\frac{5}{8} ~ \frac{13}{8}
9/5 ~ 1 \frac45
2 3/4 \text{ cups} ~ 11/4
11/4 ~ 2¾
5\ 1/2 ~ 11/2
3 1/7 ~ 22/7
""",
    "plus-minus": r"""
\pm 15 ~ 15, -15
1 \pm \sqrt{19} ~ 1 + \sqrt{19}, 1 - \sqrt{19}
15, -15 ~ \pm 15
\pm 15 ~ x = \pm 15
x = \pm 3 ~ x=3, x=-3
x=\pm 3 ~ x = 3 \text{ or } x = -3
\pm 15 ~ ±15
\pm 15 ~ +15, -15
-1 \pm 2i ~ -1+2i, -1-2i
\frac{-3 \pm \sqrt{5}}{2} ~ \frac{-3+\sqrt5}{2}, \frac{-3-\sqrt5}{2}
\pm 1, \pm 2 ~ 1, -1, 2, -2
\pm 15 ~ \boxed{15} \text{ and } \boxed{-15}
(\pm 3, 0) ~ (3,0),(-3,0)
\pm 15 ~ +/- 15
\pm 4 ~ 4, -4
\pm 4 ~ -4, 4
\pm 4 ~ \{-4, 4\}
\pm 4 ~ 4 \text{ and } -4
4, -4 ~ ±4
x = \pm 4 ~ \pm 4
2 \pm i ~ 2+i, 2-i
2 \pm i ~ 2-i \text{ and } 2+i
3 \pm 2\sqrt{2} ~ 3+2\sqrt2, 3-2\sqrt2
3 \pm 2\sqrt{2} ~ 3+\sqrt8, 3-\sqrt8
\frac{1 \pm \sqrt{5}}{2} ~ \frac{1+\sqrt5}{2},\frac{1-\sqrt5}{2}
\pm\frac{1}{2} ~ \frac12, -\frac12
\pm\frac{1}{2} ~ 0.5, -0.5
\{2\pm\sqrt{7},-3\} ~ -3, 2+\sqrt{7}, 2-\sqrt{7}
0, \pm 1 ~ -1, 0, 1
\pm 4i ~ 4i, -4i
\pm 4 ~ \boxed{4}, \boxed{-4}
\pm 4 ~ \boxed{\pm 4}
x=1\pm\sqrt2 ~ x=1+\sqrt2 \text{ or } x=1-\sqrt2
a \mp b ~ a-b, a+b
""",
    "thousands and currency": r"""
\$32,\!348 ~ 32348
1000 ~ 1,000 \text{ dollars}
1000 ~ 1,000
32348 ~ \$32,348
32348 ~ 32{,}348
32348 ~ 32\,348
1000000 ~ 1,000,000
1234.5 ~ 1,234.5
14,\!070 ~ 14070
61,400 ~ 61400
\$17.40 ~ 17.40
17.4 ~ \$17.40
1,000 ~ $1,000$
12345 ~ 12,345 \text{ people}
-1,234 ~ -1234
100, 200, 300 ~ 100,200,300
1,234,567 ~ 1234567
1000 ~ 1\,000
12,\!345 ~ 12345
12345 ~ 12,345
12345 ~ 12\,345
12345 ~ 12{,}345
\$1,\!000 ~ 1000
\$2.50 ~ 2.5
2.50 ~ \$2.50
1500000 ~ 1.5 million
\$1,000,000 ~ 1 million dollars
1234567 ~ 1,234,567 \text{ people}
1234 ~ 1,234 dollars
1234 ~ \text{1,234}
1,000.50 ~ 1000.5
\$-5 ~ -5
-\$5 ~ -5
£5 ~ 5
€1,000 ~ 1000
1234 ~ $1,234$
""",
    "tiny differences": r"""
\frac{1}{2^{80}} ~ 2^{-80}
\frac{1}{1999!} ~ \frac{1}{1999!}
\frac{3}{4^{50}} ~ \frac{3}{2^{100}}
\sqrt{10^{-40}} ~ 10^{-20}
0.1 ~ \frac{1}{10}
0.1x ~ \frac{x}{10}
2^{-1000} ~ \frac{1}{2^{1000}}
3^{-40}\pi ~ 9^{-20}\pi
""",
    "units": r"""
5 ~ 5 \text{ cm}
5 \text{ cm} ~ 5
5 \text{ cm} ~ 5 \text{cm}
5 \text{ cm} ~ 5 cm
5 \text{ centimeters} ~ 5 \text{ cm}
96 \mbox{ inches}^2 ~ 96
18\mbox{ cm}^2 ~ 18
18\mbox{ cm}^2 ~ 18 \text{ square centimeters}
3.6 \text{ cents} ~ 3.6
5 \text{ dollars} ~ \$5
90^\circ ~ 90
90^\circ ~ 90 \text{ degrees}
90 ~ 90^{\circ}
64 ~ 64 square feet
72 ~ 72 degrees
3 \text{ hours} ~ 3 \text{ h}
5000000 ~ 5 million
2 \text{ ft} ~ 2 \text{ feet}
12 \text{ students} ~ 12
12 ~ 12 students
5 ~ 5 apples
20 \text{ square units} ~ 20
\frac{3}{2} \text{ m} ~ 1.5 \text{ m}
6\sqrt{3} \text{ cm} ~ 6\sqrt{3}
12^{\text{th}} ~ 12
12 ~ 12^{\text{th}}
5\,\mathrm{m/s} ~ 5 \text{ m/s}
25\% ~ 25
5 \text{ m} ~ 500 \text{ cm}
3 \text{ and } 5 ~ 3 \text{ or } 5
16 \pi \text{ cm}^2 ~ 16\pi
3 \text{ kg} ~ 3
3 ~ 3 \text{ kg}
3 \text{ kg} ~ 3000 \text{ g}
3 \text{ in} ~ 3 \text{ inches}
60 \text{ mph} ~ 60 \text{ miles per hour}
12 \text{ cm}^2 ~ 12 \text{ square cm}
12 \text{ cm}^2 ~ 12 \text{cm}^{2}
12 \text{ cm}^2 ~ 12\ \mathrm{cm}^2
\$20 ~ 20 \text{ dollars}
45^\circ ~ 45
45^\circ ~ 45 \text{ degrees}
45^\circ ~ 45°
20 \text{ minutes} ~ 20 \text{ min}
1 \text{ hour} ~ 60 \text{ minutes}
2.5 \text{ hours} ~ 2.5 \text{ hr}
8 \text{ liters} ~ 8 \text{ L}
4\pi \text{ cm} ~ 4\pi
4\pi ~ 4\pi \text{ cm}
10 \text{ units} ~ 10
10 \text{ square units} ~ 10 \text{ units}^2
100^\circ\text{C} ~ 100
3\text{rd} ~ 3
5 \text{ apples} ~ 5 \text{ apple}
20 \text{ cents} ~ \$0.20
2 \text{ dozen} ~ 24
9.8 \text{ m/s}^2 ~ 9.8
""",
    "decimals and powers of ten": r"""
100000 ~ 1e5
2.5e-3 ~ 0.0025
0.00001 ~ 1e-05
1e5 ~ 10^5
3 \times 10^5 ~ 300000
3 \cdot 10^5 ~ 3e5
3\times 10^{-2} ~ 0.03
0.5 ~ .5
0.50 ~ 0.5
007 ~ 7
-0 ~ 0
+4 ~ 4
3.0 ~ 3
2.5E-3 ~ 0.0025
1.2 x 10^3 ~ 1200
1.2×10³ ~ 1200
2^{10} ~ 1024
-0.5 ~ -\frac12
5. ~ 5
6.02 \times 10^{23} ~ 6.02e23
10^{100} ~ 1e100
5e3 ~ 5000
1e-7 ~ 0.0000001
0.001 ~ 1e-3
1e-3 ~ 0.001
1.5e3 ~ 1500
1500 ~ 1.5 \times 10^3
1500 ~ 1.5 \cdot 10^{3}
1.5\times10^{3} ~ 1.5e3
1500 ~ 15 \times 10^2
10^6 ~ 1,000,000
1e6 ~ 1,000,000
0.1 ~ 1/10
0.125 ~ \frac{1}{8}
2.50 ~ 2.5
2.500 ~ 5/2
00.5 ~ 0.5
-.5 ~ -0.5
1E5 ~ 100000
1.0 ~ 1
1.5 ~ 1.50000
6.67\times 10^{-11} ~ 6.67e-11
3.0 \times 10^8 ~ 300000000
10^{-3} ~ 0.001
0.\overline{36} ~ \frac{4}{11}
""",
    "intervals": r"""
[1,2] ~ 1\le x\le 2
1\le x\le 2 ~ [1,2]
(1,2) ~ 1<x<2
(1,2] ~ 1<x\leq 2
[3,\infty) ~ x\ge 3
x\ge 3 ~ [3,\infty)
(-\infty,3) ~ x<3
x \in [-4,9] ~ [-4, 9]
[-4,9] ~ x \in [-4,9]
[-4,9] ~ -4 \leq x \leq 9
(-\infty,1)\cup(3,\infty) ~ x<1 \text{ or } x>3
x<1 \text{ or } x>3 ~ (-\infty,1)\cup(3,\infty)
[1,2] ~ 2 \ge x \ge 1
[1,2] ~ 1 <= x <= 2
[1,2] ~ 1 ≤ x ≤ 2
(0, 7.5) ~ 0 < x < 7.5
[\sqrt2, +\infty) ~ m \geq \sqrt{2}
(-\infty, 2)\cup(2,\infty) ~ (-\infty,2) \cup (2, +\infty)
x > 3 ~ 3 < x
[1,2] ~ 1 \leqslant x \leqslant 2
(-4,\sqrt{31}] ~ (-4,\sqrt{31}]
(-\infty,-2]\cup[-1,\infty) ~ x \le -2 \text{ or } x \ge -1
(-1,1) ~ -1<x<1
[0,5] ~ 0\le x\le5
[0,5) ~ 0 \leq x < 5
(0,\infty) ~ x > 0
(-\infty,4] ~ x \le 4
(-\infty, 4] ~ 4 \ge x
x \le 4 ~ (-\infty,4]
x<2 ~ (-\infty,2)
-3 < x < 3 ~ (-3,3)
(-3,3) ~ x \in (-3,3)
x \in (-3,3) ~ -3<x<3
(-\infty,0)\cup(0,\infty) ~ x \neq 0
(-\infty,-1)\cup(1,\infty) ~ x<-1 \text{ or } x>1
(-\infty,-1)\cup(1,\infty) ~ (1,\infty)\cup(-\infty,-1)
2 < x ~ x > 2
t \ge 2 ~ [2, \infty)
(0,1) ~ 0<y<1
\left[\frac12, 3\right] ~ 0.5 \le x \le 3
(-\infty, \infty) ~ \mathbb{R}
\mathbb{R} ~ (-\infty,\infty)
x\in\mathbb{R} ~ \mathbb{R}
k > 5 ~ 5 < k
[2, 3] ~ 2 <= x <= 3
(2,3) ~ (2, 3)
\{x : x > 3\} ~ \{x : x > 3\}
k \geqslant 2 ~ k \ge 2
""",
    "lists and boxes": r"""
3, 5, 7 ~ \boxed{3}, \boxed{5}, \boxed{7}
3, 5, 7 ~ \boxed{3}, \boxed{5} and \boxed{7}
3, 5, 7 ~ \boxed{3, 5, 7}
3, 5, 7 ~ \boxed{7} \boxed{5} \boxed{3}
3,5,7 ~ We try \boxed{2}, then \boxed{3}, \boxed{5}, \boxed{7}
7 ~ \boxed{3}, \boxed{5}, \boxed{7}
3, 5 ~ 5, 3
3, 5 ~ 3 and 5
3, 5 ~ \{3, 5\}
\{3,5\} ~ 3, 5
x=1 \text{ or } x=2 ~ 1, 2
x=1 \text{ or } x=2 ~ \boxed{1} or \boxed{2}
x=1 \text{ or } x=2 ~ x=2, x=1
(1,2),(3,4) ~ (3,4),(1,2)
(1,2),(3,4) ~ \boxed{(1,2)} \text{ and } \boxed{(3,4)}
1;2 ~ 1,2
\{1,2,3\} ~ \{3,2,1\}
2 ~ \boxed{\boxed{2}}
\{2\} ~ \boxed{\{2\}}
\frac{1}{2} ~ \boxed{\frac{1}{2}}
\{1\} ~ So \boxed{\{1\}} holds
[2,5) ~ The domain is \boxed{[2,5)}
\left\{ \frac12 \right\} ~ \boxed{\left\{ \frac{1}{2} \right\}}
\{x \mid x > 1\} ~ \boxed{\{x \mid x > 1\}}
2 \text{ and } 1 ~ 1,2
1,2 ~ 1, 2.
3 ~ \fbox{3}
5, -1 ~ x = 5, -1
a=1, b=2 ~ b=2, a=1
x=1, y=2 ~ y=2, x=1
2, 4, 6 ~ \boxed{2}, \boxed{4}, \boxed{6}
2, 4, 6 ~ The answers are \boxed{2}, \boxed{4}, and \boxed{6}.
6 ~ \boxed{4} no wait \boxed{6}
2, 4 ~ First \boxed{9}. Then \boxed{2} and \boxed{4}
2, 4, 6 ~ ["2","4","6"]
2, 4, 6 ~ ['2', '4', '6']
["2","4"] ~ 4, 2
\{1,2\} ~ \boxed{\{1,2\}}
\{1,2\} ~ \boxed{\{2,1\}}
\sqrt{\frac{1}{2}} ~ \boxed{\sqrt{\frac{1}{2}}}
\left\{1, \frac{1}{2}\right\} ~ \boxed{\left\{\frac{1}{2}, 1\right\}}
(1,2) ~ \boxed{(1,2)}
1, 2 ~ \boxed{1,2}
\text{A and B} ~ A, B
A, C ~ A and C
x=2, y=3 ~ \boxed{x=2}, \boxed{y=3}
(x,y)=(2,3) ~ (2,3)
(2,3) ~ (x,y)=(2,3)
2,3 ~ 2;3
1, 2, 3 ~ 3, 2, 1
1, 2 \text{ and } 3 ~ 1,2,3
(1,2), (3,4) ~ (1,2) \text{ and } (3,4)
x = 2 \text{ or } x = -3 ~ -3, 2
f(x)=x, f(x)=-x ~ f(x)=-x, f(x)=x
\boxed{5} ~ 5
5 ~ \boxed{\text{5}}
5 ~ \boxed{5} and then }
5 ~ \boxed{ 5 }.
5 ~ $\boxed{5}$
5 ~ \boxed 5
""",
    "percent": r"""
50\% ~ 0.5
50\% ~ \frac12
0.5 ~ 50\%
\frac{1}{2} ~ 50%
50\% ~ 50
50 ~ 50\%
50 ~ 50%
50\% ~ 50 percent
12.5\% ~ \frac{1}{8}
7.2\% ~ 7.2
28\% ~ 28 \text{ percent}
33\frac{1}{3}\% ~ \frac13
20\% ~ 20
20\% ~ 0.2
20\% ~ \frac{1}{5}
20 ~ 20\%
20 ~ 20 \text{ percent}
0.2 ~ 20\%
150\% ~ 1.5
12.5\% ~ 12.5
12.5 ~ 12.5\%
\frac{1}{4} ~ 25\%
20\% ~ 20 percent
""",
    "forms": r"""
-\frac{1}{2} ~ \frac{-1}{2}
-\frac12 ~ \frac{1}{-2}
\dfrac{1}{2} ~ \tfrac12
\frac12 ~ 1/2
\frac{1}{2} ~ 0.5
\sqrt2 ~ \sqrt{2}
\sqrt[3]{2} ~ 2^{1/3}
2\pi ~ 2 \pi
2\pi ~ 2π
3+4i ~ 4i+3
11 - i ~ 11.0 + -1.0i
e^{12} - 1 ~ -1 + e^{12}
\frac{\pi}{2} ~ pi/2
-2\pi ~ -2*pi
\frac{1}{\sqrt{2}} ~ \frac{\sqrt2}{2}
\sqrt{8} ~ 2\sqrt{2}
\frac{\sqrt{3}}{3} ~ sqrt(3)/3
\sqrt{x^2} ~ |x|
\frac{13+7a}{30} ~ \dfrac{7a + 13}{30}
(x+1)^2 ~ x^2+2x+1
2x+6y-5=0 ~ y = -\frac13 x + \frac56
\begin{pmatrix}1\\2\end{pmatrix} ~ \begin{pmatrix} 1 \\ 2 \end{pmatrix}
\begin{pmatrix} -2/7 \\ 3/7 \end{pmatrix} ~ \begin{pmatrix} -\dfrac{2}{7} \\ \dfrac{3}{7} \end{pmatrix}
x=5 ~ 5
5 ~ x=5
f(x)=x+1 ~ x+1
y = 2x+1 ~ 2x+1
\infty ~ \infty
3 ~ 03
3:30 ~ 3:30
1:2 ~ 1:2
101_2 ~ 101_{2}
(A) ~ A
A ~ (A)
\text{(C)} ~ C
\text{(A)} ~ \text{A}
\text{even} ~ even
−5 ~ -5
\pi ~ π
x^2 ~ x²
12 ~ １２
2\times 3 ~ 6
6 ~ 2 × 3
\left(5,\frac{\pi}{3}\right) ~ (5, \frac{\pi}{3})
\text{13} ~ 13
\frac{0.4a}{b}/0.4 ~ 2\frac{a}{2b}
5\frac{a}{2b} ~ \frac{5a}{2b}
\sec^2(y) ~ \tan^2(y)+1
\frac{x}{7}+\frac{2}{7} ~ \frac{x+2}{7}
\text{Ingrid} ~ Ingrid
u - v ~ u-v
\frac{310}9\text{ degrees} ~ \frac{310}{9}
\text{A, B} ~ A,B
2k+2 ~ 2(k+1)
5\sqrt{7} ~ \sqrt{175}
\frac{3}{2} ~ \frac{6}{4}
1.5 ~ \frac32
2^{2010} ~ 4^{1005}
8 - 3i ~ 8-3i
\cot x ~ \frac{\cos x}{\sin x}
-4 + 9i ~ 9i-4
\binom{5}{2} ~ 10
5! ~ 120
\emptyset ~ \varnothing
\frac{x+1}{2} ~ \frac{1}{2}(x+1)
x(x+1) ~ x^2+x
(x-1)(x+1) ~ x^2-1
\frac{1}{x} ~ x^{-1}
\sqrt{12} ~ 2\sqrt{3}
1+i ~ i+1
\frac{1+i}{2} ~ \frac12+\frac{i}{2}
e^x ~ \exp(x)
\ln 4 ~ 2\ln 2
\sin 2x ~ 2\sin x\cos x
n^2 ~ n^{2}
\frac{n(n+1)}{2} ~ \frac{n^2+n}{2}
y=2x+3 ~ 2x+3
y=2x+3 ~ y=3+2x
y = 2x + 3 ~ y - 2x = 3
x+y=1 ~ 2x+2y=2
5 ~ \sqrt{25}
\tan\theta ~ \frac{\sin\theta}{\cos\theta}
3:4 ~ 3:4
3:45 \text{ pm} ~ 3:45 PM
10_2 ~ 10_{2}
\begin{pmatrix}1&2\\3&4\end{pmatrix} ~ \begin{bmatrix}1&2\\3&4\end{bmatrix}
\frac{a}{b} ~ a/b
-\frac{a}{b} ~ \frac{-a}{b}
-\frac{3}{4} ~ -0.75
|x| ~ |-x|
\text{parabola} ~ Parabola
\infty ~ infinity
\text{undefined} ~ undefined
\frac{\sqrt{3}}{2} ~ \sqrt{3}/2
\frac{\sqrt{3}}{2} ~ sqrt(3)/2
\frac{\sqrt{3}}{2} ~ √3/2
2\pi r ~ 2πr
a_{n} ~ a_n
x \cdot y ~ xy
2 \cdot 3^4 ~ 162
7! ~ 5040
\log_2 8 ~ 3
10 ~ \binom{5}{2}
\frac{3}{4}x ~ 0.75x
-(x-1) ~ 1-x
x^{1/2} ~ \sqrt{x}
\alpha ~ α
\emptyset ~ \{\}
3x^2y ~ 3yx^2
\dfrac{\pi}{4} ~ \frac14\pi
\cos^{-1}(x) ~ \arccos x
120 ~ 5!
""",
    "others": r"""
\frac{1}{3} ~ \frac{1}{3} \approx 0.333
\frac{1}{3} ~ x = \frac{1}{3} \approx 0.333
3.14 ~ x \approx 3.14
5 ~ \boxed{\textbf{(A)}\ 5}
A ~ \boxed{\textbf{(A)}\ 5}
\langle 1,2\rangle ~ (1,2)
5 ~ \$5 \text{ per hour}
\$5 \text{ per hour} ~ 5 \text{ dollars per hour}
\$5/\text{hour} ~ 5 \text{ dollars per hour}
5 \text{ m}/\text{s} ~ 5 \text{ m/s}
3, 4 ~ x = 3↵y = 4
3, 4 ~ The roots are:↵- 3↵- 4
42 ~ \boxed{42\text{ apples}}
42 ~ \boxed{x = 42}
42 ~ \boxed{$42$}
42 ~ \boxed{\$42}
42 ~ \boxed{\text{42 apples}}
(x,y)=(1,2) ~ (1,2)
x_1=1, x_2=2 ~ 1, 2
x=1 \text{ or } x=2 ~ x \in \{1,2\}
5 ~ (5)
\infty ~ +\infty
1/0 ~ 1/0
\text{Area}=5 ~ 5
5 ~ \text{Area} = 5 \text{ cm}^2
3.5 ~ ３．５
5% ~ 5％
ABC ~ ABC
2\sqrt{3} ~ 12^{1/2}
i\sqrt{2} ~ \sqrt{2}i
0 ~ \frac{0}{5}
2i ~ (1+i)^2
I^2R ~ RI^2
-1 ~ (-1)^3
2^{3^2} ~ 512
-2^2 ~ -4
(-2)^2 ~ 4
6/2(1+2) ~ 9
2 \frac{1}{2} \% ~ 0.025
\frac{1}{2}\text{ of the cake} ~ \frac12
10^{\circ} ~ 10
\text{(A) and (B)} ~ A, B
10\text{ or }20 ~ 20, 10
5 ~ either 5
100 ~ 100.0%
1000 ~ 1e3 \text{ m}
1/2/3 ~ 1/6
3 \text{ R } 2 ~ 3 R 2
x>3 ~ x \in (3,\infty)
\{3\} ~ 3
\frac{a+b}{2} ~ \frac{b+a}{2}
m\angle A = 30^\circ ~ 30
-\infty < x < 3 ~ (-\infty,3)
f^{-1}(x) = \frac{x-1}{2} ~ \frac{x-1}{2}
p(x) = x^2 ~ x^2
3\text{:}2 ~ 3:2
7 ~ 7 pm
\frac{1}{2} ~ 1 / 2
1e3 ~ 1000.0
1.0e3 ~ 1000
a ~ \text{a}
a b ~ b a
\text{I and II} ~ I, II
\text{I and II} ~ II and I
\mathrm{e}^2 ~ e^2
2\mathrm{i} ~ 2i
\sum_{k=1}^n k ~ \frac{n(n+1)}{2}
\int_0^1 x dx ~ \frac12
\max(1,2) ~ 2
\sqrt[4]{16} ~ 2
|{-3}| ~ 3
36 ~ So the final answer is:↵↵$$\boxed{36}$$
36 ~ **36 apples**
36 ~ The answer is **36 apples**.
36 ~ - Answer: 36
36 ~ * **Answer**: 36
36 ~ **The answer is 36.**
36 ~ _36_
36 ~ The answer is thirty-six (36).
36 ~ Answer - 36
36 ~ My answer: 36
36 ~ The total number of apples is 36.
36 ~ Hence, $n=36$.
36 ~ Thus the sum equals $36$ exactly.
36 ~ we have 6 \times 6 = 36
36 ~ 6*6=36
36 ~ 6 x 6 = 36
36 ~ There are thirty six or 36
-36 ~ Answer: -36
-36 ~ Answer: − 36
3.6 ~ The answer is 3.6.
3.6 ~ The answer is 3.6
36 ~ The answer is 36.0
36 ~ the answer is $36.
36 ~ The answer is \$36.
36 ~ The answer is: \[ 36 \]
36 ~ $\$36$
36 ~ 36$
3/4 ~ The answer is $\frac{3}{4}$.
3/4 ~ Probability: \(\frac{3}{4}\)
3/4 ~ = \frac{3}{4}
\frac{3}{4} ~ $$P = \frac{3}{4}$$
x=3 ~ The solution is $x=3$.
(1, 2) ~ The answer is (1, 2).
[1, 2] ~ The range is [1, 2].
\text{no} ~ No.
no ~ The answer is no.
yes ~ **Yes**
yes ~ Answer: **Yes**, because 7 is prime.
blue ~ The answer is blue.
blue ~ \boxed{\text{blue}}
blue ~ \boxed{\text{Blue}}.
D ~ **D**
D ~ Answer: (D) 42
D ~ The correct option is D.
D ~ \boxed{D}
D ~ \boxed{\text{D}}
D ~ D) 42
2000 ~ It costs $2,000.
2000 ~ $2{,}000$
2000 ~ 2 thousand
2000 ~ \$2{,}000
2000 ~ 2,000.00
25 ~ 25¢
25 ~ 25 cents
\{1,3\} ~ \boxed{\{1, 3\}}
\{1,3\} ~ \boxed{1} and \boxed{3}
\left\{\frac{1}{2},3\right\} ~ The set is \boxed{\left\{3,\frac{1}{2}\right\}}.
\frac{\frac{1}{2}}{3} ~ \boxed{\frac{\frac{1}{2}}{3}}
\frac{1}{6} ~ \boxed{\frac{\frac{1}{2}}{3}}
1, 2, 3 ~ \boxed{1}\quad\boxed{2}\quad\boxed{3}
1, 2 ~ \boxed{x=1}, \boxed{x=2}
x=1, x=2 ~ \boxed{1, 2}
a=1, b=2 ~ \boxed{1}, \boxed{2}
(1,2), (3,4) ~ \boxed{(1,2)}, \boxed{(3,4)}
\pm\sqrt{2} ~ \boxed{\sqrt{2}}, \boxed{-\sqrt{2}}
5, -5 ~ x=\pm5
3 \pm \sqrt{2} ~ 3 - \sqrt2 \text{ or } 3 + \sqrt2
3\pm\sqrt2 ~ x = 3+\sqrt{2}, x = 3-\sqrt{2}
\pm 1 \pm \sqrt{2} ~ 1+\sqrt2, 1-\sqrt2, -1+\sqrt2, -1-\sqrt2
1 1/3 ~ 4/3
4/3 ~ 1\frac13
4/3 ~ 1\frac{1}{3}\text{ cups}
0.0001 ~ 1e-4
0.0001 ~ 10^{-4}
0.0001 ~ 1/10000
1e-4 ~ 1 \times 10^{-4}
12e3 ~ 12000
6.02e23 ~ 6.02 \times 10^{23}
1.50 ~ 1.5
1e2 ~ 100
[0,\infty) ~ x \ge 0
(0,\infty) ~ 0 < x
(-2,5] ~ -2 < x \leq 5
-2 < x \le 5 ~ x \in (-2, 5]
(-\infty,-2)\cup(5,\infty) ~ x < -2 \text{ or } x > 5
(-\infty,-2)\cup(5,\infty) ~ x < -2, x > 5
(2, \infty) ~ n > 2
[1,3] ~ \{x \mid 1 \le x \le 3\}
[1,3] ~ \{x : 1 \le x \le 3\}
x y ~ xy
sin(x) ~ \sin x
\log x ~ log(x)
4 \text{ cm} ~ 40 \text{ mm}
4 \text{ cm} ~ 4cm
4 \text{ sq cm} ~ 4 \text{ cm}^2
4\text{ cm}^3 ~ 4 \text{ cubic centimeters}
30^\circ ~ 30 degrees
\$12 ~ \$12.00
\frac{1}{2^{100}} ~ \frac{1}{4^{50}}
\left(\frac{1}{2}\right)^{100} ~ 2^{-100}
""",
    "units of one letter": r"""
\pi r^{2} h ~ \boxed{\pi h r^2}
\frac{\pi r^2 h}{3} ~ \boxed{\frac{1}{3} \pi r^2 h}
\frac{1}{2} b h ~ \boxed{\frac{bh}{2}}
2\pi rh ~ \boxed{2\pi r h}
2\pi r(r+h) ~ \boxed{2\pi r^2+2\pi r h}
(a+b) h ~ \boxed{h(a+b)}
a m ~ \boxed{m a}
2 m ~ m \cdot 2
x+3 m ~ 3m+x
5 m ~ 5
3 h ~ 3 \text{ hours}
5 ~ 5 m
""",
    "equations": r"""
5 ~ \boxed{x=5}
5 ~ \boxed{f(2)=5}
5 ~ f^{-1}(2)=5
Answer: 5 ~ 5
**5** ~ \boxed{5}
... so \boxed{5}. ~ 5
The answer is 5. ~ The answer is 5.
5 ~ \boxed{AB=5}
30 ~ \boxed{\angle A = 30^\circ}
30 ~ m\angle ABC = 30^\circ
\frac14 ~ P(A)=\frac14
\frac14 ~ P(X > 2) = \frac{1}{4}
5 ~ 2+3=5
42 ~ 6 \cdot 7 = 42
\frac12 ~ \sin 30^\circ = \frac12
10 ~ \binom{5}{2} = 10
5 ~ x_1 = 5
5 ~ S_{10} = 5
5 ~ \boxed{|AB|=5}
5 ~ \text{Area} = 5
2x ~ f'(x) = 2x
2x ~ \frac{dy}{dx} = 2x
2x + 3y = 6 ~ 4x + 6y = 12
x=\frac52 ~ x = 2.5
x = 5 ~ 5 = x
(3,4) ~ (x,y) = (3,4)
(3,4) ~ (a, b) = (3, 4)
x = 5 ~ x = 2+3 = 5
\{1,2\} ~ A \cap B = \{1,2\}
""",
    "arguments of functions": r"""
\ln x\cdot x ~ x\ln x
\sin x\cos y ~ \sin x \cdot \cos y
\sin x\cdot 2 ~ 2\sin x
\log_2 8 \cdot 2 ~ 6
\sin x\cdot\cos x ~ \frac12\sin 2x
\ln(x+1)\cdot 2 ~ 2\ln(x+1)
x \ln x ~ (\ln x) x
\sin^2 x \cdot 2 ~ 2\sin^2 x
\cos 2x ~ \cos(2x)
\log_3 2x ~ \log_3(2x)
\log 2\cdot 5 ~ 5\log 2
\tan x \times y ~ y\tan x
\sin\frac{\pi}{6} ~ \frac12
\log_2 3 \times \log_3 2 ~ 1
""",
    "products of letters": r"""
xyz ~ zyx
xyz ~ x y z
xyz ~ x*y*z
abc ~ cba
abc ~ a b c
abc ~ a\cdot b\cdot c
mgh ~ m g h
\frac{abcd}{2} ~ \frac{dcba}{2}
4abcd ~ 4 a b c d
wxyz+1 ~ 1+wxyz
abcd ~ dcba
\text{Evan} ~ Evan
\text{evan} ~ Evan
""",
    "trailing dots": r"""
1,2,3,\ldots ~ 1, 2, 3, ...
1,2,3,\ldots ~ 1, 2, 3, \dots
3.14 ~ 3.14.
1,2,3 ~ 1,2,3.
""",
    "functions": r"""
f(x+1) ~ f(x+1)
2f(x)+1 ~ 1+2f(x)
f(2)+f(3) ~ f(3)+f(2)
\frac{dy}{dx} ~ \frac{dy}{dx}
E(X)^2 ~ E(X)^2
""",
    "symbols": r"""
x ~ \frac{x}{1}
x ~ \frac{2x}{2}
x ~ 1x
x ~ x+0
x ~ 2x-x
x ~ x^1
n ~ \frac{2n}{2}
\theta ~ \frac{2\theta}{2}
x ~ (x)
""",
    "times of day": r"""
3:30 \text{ p.m.} ~ 3:30 pm
3:30 \text{ p.m.} ~ 3:30 PM
3:30 \text{ p.m.} ~ 3:30\text{ PM}
3:30 \text{ p.m.} ~ 3:30 P.M.
3:30 \text{ p.m.} ~ 3:30
10\text{ a.m.} ~ 10\text{ am}
3:30 ~ 3:30 \text{ p.m.}
10:30 ~ 10:30 \text{ am}
""",
    "units with dots, fractions and powers": r"""
25\text{ sq. ft.} ~ 25\text{ ft}^2
25\text{ sq. ft.} ~ 25\text{ square feet}
12 \text{ cu. in.} ~ 12 \text{ in}^3
6 \text{ in.}^2 ~ 6 \text{ in}^2
12 ~ 12 \frac{\text{m}}{\text{s}}
36 \text{ km/h} ~ 36 \frac{\text{km}}{\text{h}}
2 \text{ m/s}^2 ~ 2 \text{ m s}^{-2}
30 ~ 30\,\mathrm{m\,s^{-1}}
2 \text{ m/s}^2 ~ 2 \text{ meters per second squared}
45^\circ ~ 45\degree
\$32,\!348 ~ USD 32,348
5 \text{ quarters} ~ 5
5 \text{ hours } 30 \text{ minutes} ~ 5 hr 30 min
5 \text{ hours } 30 \text{ minutes} ~ 5 \text{ hours and } 30 \text{ minutes}
5 \text{ hours } 30 \text{ minutes} ~ 5.5 \text{ hours}
5 \text{ hours } 30 \text{ minutes} ~ 330 \text{ minutes}
6 \text{ feet } 2\text{ inches} ~ 74 \text{ inches}
2 \text{ years} ~ 24 \text{ months}
5 \text{ yrs} ~ 5 \text{ years}
5 \text{ N} ~ 5 \text{ newtons}
2 \text{ kW} ~ 2000 \text{ W}
\pi \text{ radians} ~ \pi \text{ rad}
2 \text{ liters} ~ 2000 \text{ cm}^3
""",
    "degrees in functions": r"""
\frac12 ~ \sin 30^\circ
\frac12 ~ \cos 60^\circ
\tan 45^\circ ~ 1
\frac{\sqrt{3}}{2} ~ \sin 60^\circ
\frac12 ~ \sin(30°)
""",
    "other spellings": r"""
\binom{5}{2} ~ \dbinom52
\frac34 ~ \nicefrac{3}{4}
[1,2] ~ x \ge 1 \text{ and } x \le 2
a^2b ~ aab
""",
    "prose with whole formulas": r"""
-42 ~ The result is −42.
-42 ~ The result is –42.
-42 ~ The result is ‑42.
-7 ~ The result is - 7.
42 ~ So the total is 4.2×10¹, as required.
2\cdot10^5 ~ The result is 2*10^5.
200000 ~ The result is 2×10^5.
x^2+1 ~ The result is x^2+1.
3x+2 ~ So the total is 3x + 2, as required.
2n+1 ~ The result is 2n+1.
\frac{n(n+1)}{2} ~ The result is n(n+1)/2.
x/2 ~ The result is x/2.
3+4i ~ The result is 3+4i.
5/8 ~ The result is 5 / 8.
\frac{\sqrt3}{2} ~ The result is √3/2.
\frac{\sqrt3}{2} ~ The result is \frac{\sqrt{3}}{2}.
\frac{\pi}{4} ~ Therefore she gets π/4.
\frac{\pi}{4} ~ Therefore she gets pi/4.
2\sqrt3 ~ The result is 2 sqrt(3).
25\pi ~ Therefore she gets 25 pi.
2\pi r ~ The result is 2\pi r.
5/2 ~ The result is 2½.
3:30 ~ The result is 3:30.
1:2 ~ The result is 1:2.
1:2 ~ The result is 1 : 2.
\pm 3 ~ The result is ±3.
101_2 ~ The result is 101_2.
120 ~ The result is 5!.
\log 5 ~ The result is log 5.
42n ~ The result is 42n.
\binom{5}{2} ~ The result is \binom{5}{2}.
0.001 ~ The result is 10^{-3}.
1024 ~ The result is 2^{10}.
""",
    "texts around a value": r"""
12 ~ The answer is 12 (since 3*4 = 12).
12 ~ The answer is 12; there are 4 rows of 3.
12 ~ The answer is 12: there are 4 rows of 3.
12 ~ The answer is 12 — there are 4 rows of 3.
12 ~ The answer for n = 3 is 12.
12 ~ 12 is the answer.
12 ~ $12$ is the answer.
12 ~ 12 is our final answer
12 ~ ⇒ 12
12 ~ => 12
12 ~ $\Rightarrow 12$
12 ~ ∴ x = 12
12 ~ - **12**
12 ~ 12 ✅
12 ~ 5 + 7 = 12, which is even.
7 ~ x = 3, y = 4, so x + y = 7
12 ~ $$\begin{aligned}x&=6+6\\&=12\end{aligned}$$
12 ~ \begin{aligned}x&=6+6\\&=12\end{aligned}
12 ~ \[\begin{array}{rl}x&=6+6\\&=12\end{array}\]
yes ~ Yes, because 5 > 3.
yes ~ Yes. It holds for 2.
no ~ No, 4 is even.
yes ~ Yes!
yes ~ Yes, it is.
Tuesday ~ The day is **Tuesday**.
C ~ I choose C.
A ~ So we choose A.
""",
    "neighbours": r"""
42 ~ Answer: **42**
42 ~ The answer is: **42**.
42 ~ Final answer → 42
42 ~ The answer is $\mathbf{42}$.
42 ~ Hence 42
42 ~ we get 42.
42 ~ I get 42.
42 ~ The answer is 42 apples.
42 ~ The answer: 42.
42 ~ Therefore, the answer is 42 (forty-two).
42 ~ So there are 42 ways in total.
42 ~ That's 42.
42 ~ Answer: x = 42
42 ~ The value is 42, as claimed.
42 ~ n = 42.
42 ~ Total = 42
42 ~ Thus total cost = $42
42 ~ => **42**
42 ~ [42]
42 ~ = $42
42 ~ Result = 42
42 ~ Answer = $42$
42 ~ answer=42
42 ~ It equals 42
42 ~ \text{Answer: } 42
42 ~ \boxed{\text{Answer: } 42}
42 ~ \boxed{ \$42 }
42 ~ \boxed{42.}
42 ~ \boxed{42\%}
42 ~ \boxed{42 \, \text{cm}^3}
42 ~ \boxed{x=42\text{ cm}}
42 ~ \boxed{\mathbf{42}}
42 ~ \boxed{\displaystyle 42}
42 ~ \boxed{42}\text{ cm}
42 ~ \fbox{42}
5/8 ~ \[ \frac{5}{8} \]
5/8 ~ The probability is \[\frac{5}{8}.\]
5/8 ~ $$P = \frac{5}{8}$$
5/8 ~ \begin{equation}P = \frac{5}{8}\end{equation}
5/8 ~ $\displaystyle\frac{5}{8}$
70 ~ He made $200 - $130 = $70.
70 ~ She earned $70.00 profit.
70 ~ Cost: $130. Revenue: $200. Profit: $70.
70 ~ the profit is **$70**.
70 ~ **Profit = $70**
70 ~ \$200 - \$130 = \$70
1250 ~ The total comes to $1,250.
1250 ~ they sold 1,250 tickets.
5/2 ~ 2 \frac{1}{2}
5/2 ~ 2\ \frac{1}{2}
5/2 ~ The result is 2 1/2.
5/2 ~ The result is $2\frac12$.
-7/4 ~ -1\frac{3}{4}
\pm 15 ~ x = 15, x = -15
\pm 15 ~ x = 15 or x = -15
\pm 15 ~ $x = \pm 15$
\pm 15 ~ The solutions are 15 and -15.
\pm 15 ~ -15, 15
15, -15 ~ ±15
1 \pm \sqrt{19} ~ 1+\sqrt{19} \text{ and } 1-\sqrt{19}
1 \pm \sqrt{19} ~ x = 1 \pm \sqrt{19}
1 \pm \sqrt{19} ~ 1 ± √19
\$32,\!348 ~ \$32,348
\$32,\!348 ~ 32,348 dollars
\$32,\!348 ~ $32348
\$32,\!348 ~ The cost is $32,348.
1000 ~ 1000.00
1000 ~ 1,000.00 \text{ dollars}
2.5e-3 ~ 2.5 \times 10^{-3}
2.5e-3 ~ 1/400
0.00001 ~ 10^{-5}
100000 ~ 10^5
100000 ~ 1.0e5
[1,2] ~ 1 \leq x \leq 2
[1,2] ~ x \in [1, 2]
[1,2] ~ \{x | 1 \le x \le 2\}
(1,\infty) ~ x > 1
(-\infty, 5] ~ x \le 5
(1,2) ~ 2 > x > 1
[0, \pi] ~ 0 \le \theta \le \pi
(-\infty,0)\cup(2,\infty) ~ x<0 or x>2
(-\infty,0)\cup(2,\infty) ~ x < 0 \text{ or } x > 2
(-2, 7) ~ -2 < x < 7
3, 5, 7 ~ \boxed{3}\text{, }\boxed{5}\text{, }\boxed{7}
3, 5, 7 ~ 7, 5, 3
3, 5, 7 ~ \{3,5,7\}
3, 5, 7 ~ x = 3, 5, 7
3, 5, 7 ~ The answers are 3, 5, and 7.
3, 5, 7 ~ The answers are $3$, $5$, and $7$.
3, 5, 7 ~ x=3, x=5, x=7
3, 5 ~ x_1 = 3, x_2 = 5
\left\{\frac{1}{2}\right\} ~ \boxed{\left\{\frac12\right\}}
\{x : x > 0\} ~ \boxed{\{x : x > 0\}}
5 \text{ m} ~ 5 m
5 \text{ m} ~ 5 meters
5 \text{ m} ~ 5
5 \text{ m} ~ 0.005 \text{ km}
3 \text{ ft} ~ 36 \text{ in}
2 \text{ hours} ~ 120 \text{ minutes}
50\% ~ 50 percent
\frac{3}{4} ~ 75\%
x^2 + 2x ~ x(x+2)
\frac{x}{y} ~ x/y
2^{x+1} ~ 2 \cdot 2^x
\sin^2 x ~ 1-\cos^2 x
\tan x ~ \frac{\sin x}{\cos x}
ab ~ ba
mn ~ nm
pq+r ~ r+qp
\frac{bc}{a} ~ \frac{cb}{a}
\text{none} ~ None
\text{True} ~ true
\text{neither} ~ Neither
\text{odd} ~ Odd
\text{Monday} ~ Monday
\text{no solutions} ~ No solutions
\text{parallelogram} ~ parallelogram
DNE ~ \text{DNE}
120 ~ 5! = 120
120 ~ 5 \cdot 4 \cdot 3 \cdot 2 = 120
10 ~ \binom{5}{2}
6 ~ |{-6}|
2\sqrt{5} ~ \sqrt{20}
\frac{1+\sqrt{5}}{2} ~ \frac{\sqrt{5}+1}{2}
\sqrt[3]{4} ~ 4^{1/3}
3\pi ~ 3\pi \text{ cm}^2
3\pi ~ 3π
3\pi ~ The area is 3π.
3\pi ~ The area is $3\pi$ square units.
-5 ~ The answer is $-5$.
-5 ~ x = -5
2-i ~ -i+2
\frac{7}{2} ~ 3.5
\frac{7}{2} ~ 7/2
y = 3x - 1 ~ y=-1+3x
y = 3x - 1 ~ 3x - y = 1
x^2 + y^2 = 9 ~ y^2+x^2=9
x \le 3 ~ 3 \ge x
12:30 ~ 12:30 p.m.
8:00 \text{ AM} ~ 8:00 a.m.
""",
    "sentences": r"""
2 ~ \boxed{2}\text{ is the answer}
12 ~ The answer is $12$, because $3\cdot4=12$.
12 ~ The answer is 12, where x = 3.
12 ~ The final answer is: $\boxed{12}$
12 ~ After 5 days, she has 12 left.
12 ~ He pays 3 * $4 = $12.
12 ~ That is 12 per week.
12 ~ So it takes 12 hours and the answer is 12.
12 ~ Therefore, she needs 12 more eggs.
12 ~ Tim has 12 more apples than Tom.
12 ~ She has 12 apples left over.
12 ~ The smallest value is 12.
12 ~ The least possible value of n is 12.
12 ~ The maximum is 12.
12 ~ The minimum number is at n = 12.
12 ~ There must be 12.
12 ~ It is exactly 12.
12 ~ It's 12.
12 ~ Therefore the greatest common divisor is 12.
12 ~ The number of ways is 4 choose 2 times 2 = 12.
12 ~ The area is 12 square meters.
12 ~ The area is 12 cm^2.
12 ~ The area is 12 cm².
12 ~ The speed is 12 m/s.
12 ~ The speed is 12 km/h.
12 ~ The speed is 12 miles per hour.
12 ~ Its perimeter equals 12.
12 ~ There are 12 of them.
12 ~ Only 12 remain.
12 ~ Over 3 years that is 12.
12 ~ 12 total.
12 ~ 12 in all
12 ~ 12 years old
12 ~ Jo is 12 years old.
12 ~ Jo is 12.
12 ~ I think the answer is 12
12 ~ Let x be the number. 2x = 24. x = 12.
12 ~ 2x = 24 → x = 12
12 ~ 2x = 24, so x = 12
12 ~ 2x=24 \implies x=12
\frac{2}{3} ~ The probability is $\frac{4}{6} = \frac{2}{3}$.
\frac{2}{3} ~ = 4/6 = 2/3
\frac{2}{3} ~ P = 4/6 = 2/3
\frac{2}{3} ~ two thirds, or 2/3
0.75 ~ which is 0.75.
(1,2) ~ The center is $(1,2)$.
(1,2) ~ The point is (1, 2).
x^2+2x+1 ~ The polynomial is $x^2+2x+1$.
x^2+2x+1 ~ The result is (x+1)^2.
2\sqrt{2} ~ The length is 2√2.
2\sqrt{2} ~ The length is 2*sqrt(2).
-3 ~ The slope is -3.
[0,1] ~ The range is $[0,1]$.
x\ge 2 ~ The solution is $x \ge 2$.
x\ge 2 ~ The solution is x ≥ 2.
3:2 ~ The ratio is 3:2.
100 ~ 100°
6:45 \text{ am} ~ It is 6:45 am.
12 ~ 1 dozen
p \Rightarrow q ~ $p \Rightarrow q$
""",
}

DIFFERENT = {
    "short texts": r"""
42 ~ The answer is 43.
42 ~ #### 43
42 ~ **43**
7 ~ 7!
-3 ~ The answer is 3
42 ~ The answer is not 42 but 41.
17 ~ The answer is 18, not 17
17 ~ I think 18
B ~ A
""",
    "prose": r"""
130 ~ The bike cost $130 and sold for $200, so $70
5 \text{ m} ~ The rope is 5 cm long.
3 ~ It takes 3.5 hours.
10 ~ The price went from $10 to $12
""",
    "white space and case": r"""
12 ~ 1 2
10, 100 ~ 10100
10, 100 ~ 10 100
R^2 ~ r^2
11/2 ~ 1 1/2
12 ~ 1\ 2
12 ~ 1\,2
12 ~ 1~2
123 ~ 1 23
1.5 ~ 1 .5
1.5 ~ 1. 5
\pi R^2 ~ \pi r^2
A ~ a
x ~ X
AB ~ ab
ab ~ AB
21 ~ 2 1
x^{12} ~ x^{1 2}
1 2 ~ 12
1, 2 ~ 12
12 ~ 1, 2
1,2 ~ 1 2
N ~ n
\Delta ~ \delta
2x ~ 2X
i ~ I
no solution ~ nosolution
34 ~ 3 4
3 4 ~ 34
7, 8 ~ 78
78 ~ 7 , 8
2.5 ~ 2 .5
10^2 ~ 1 0^2
P ~ p
V ~ v
aB ~ Ab
\frac{A}{b} ~ \frac{a}{B}
a+B ~ A+b
x_{12} ~ x_{1 2}
\Omega ~ \omega
\Gamma(x) ~ \gamma(x)
3\ 4 ~ 34
1\;2 ~ 12
2 3/4 ~ 23/4
23/4 ~ 2 3/4
5 0 ~ 50
1 0 0 ~ 100
n! ~ N!
\log X ~ \log x
S_n ~ s_n
""",
    "mixed numbers": r"""
1 ~ 2\frac{1}{2}
21/2 ~ 2 1/2
3 \frac{3}{4} ~ 33/4
7/3 ~ 2½
5/2 ~ 2 \cdot \frac12
31/4 ~ 3 1/4
4 2/5 ~ 8/5
42/5 ~ 4 2/5
""",
    "plus-minus": r"""
\pm 15 ~ 15
\pm 15 ~ -15
\pm 2021 ~ 2021
1 \pm \sqrt{19} ~ 1 \pm \sqrt{17}
\frac{-3 \pm \sqrt{5}}{2} ~ \frac{-3+\sqrt5}{2}
\pm 1, \pm 2 ~ 1,-1,2
15 ~ \pm 15
\pm 4 ~ 4
\pm 4 ~ 4, 4
2 \pm i ~ 2+i
""",
    "thousands and currency": r"""
1000 ~ 1, 000
1000 ~ (1,000)
1000 ~ 10,00
1000 ~ 1,0000
17.40 ~ \$17.41
1,2,3 ~ 123
100,200,300 ~ 100, 200, 300
1,23,456 ~ 123456
1.000 ~ 1000
0,1 ~ 01
3,5,7 ~ 357
19,22 ~ 1922
1000 ~ 1 000
1234 ~ 12,34
4,5 ~ 45
(12,345) ~ 12345
12,345 ~ 12, 345
2,000 ~ 2.000
10,000 ~ 10.000
""",
    "tiny differences": r"""
\frac{1}{2^{80}} ~ \frac{1}{2^{81}}
2^{-80} ~ 2^{-81}
\frac{1}{1999!} ~ \frac{1}{2001!}
10^{-20} ~ 10^{-21}
10^{-20} ~ 0
0 ~ \frac{1}{2^{99}}
1 ~ 1+10^{-30}
1 - 10^{-20} ~ 1
\frac{\pi}{10^{20}} ~ \frac{\pi}{10^{21}}
\frac{x}{2^{80}} ~ \frac{x}{2^{81}}
\sqrt{2} ~ 1.41421356237
\frac{1}{3} ~ 0.333333
0.0000001 ~ 0.0000002
\frac{1}{3} ~ 0.3333333333333333
e^{-50} ~ e^{-51}
(2^{-80}, 1) ~ (2^{-81}, 1)
x=2^{-80} ~ x=2^{-81}
\pi ~ 3.14159265358979
\pi ~ \frac{355}{113}
2^{100} ~ 2^{100}+1
10^{30} ~ 10^{30}+1
\sqrt{2}+10^{-30} ~ \sqrt{2}
1-\frac{1}{e} ~ 1+\frac{1}{e}
1 - \frac{1}{\mathrm{e}} ~ 1 + \frac{1}{\mathrm{e}}
\frac{100}{3} ~ 33.3
10^{-12} ~ 10^{-13}
\frac{1}{10^{12}} ~ 0
\frac{1}{3^{50}} ~ \frac{1}{3^{51}}
\frac{1}{100!} ~ \frac{1}{101!}
e^{-100} ~ 0
e^{-40} ~ e^{-41}
\frac{\sqrt{2}}{10^{30}} ~ \frac{\sqrt{3}}{10^{30}}
1-\frac{1}{2^{60}} ~ 1
1-\frac{1}{2^{60}} ~ 1-\frac{1}{2^{61}}
0.00000000000001 ~ 0.00000000000002
\frac{2}{3} ~ 0.6667
\frac{2}{3} ~ 0.667
\sqrt{3} ~ 1.732
\sqrt{3} ~ 1.7320508
x^{2}+10^{-20} ~ x^2
2^{-1000} ~ 2^{-1001}
10^{-9}x ~ 10^{-10}x
\frac{1}{365^{10}} ~ \frac{1}{365^{11}}
\binom{40}{20}/2^{40} ~ \binom{40}{20}/2^{41}
\pi ~ 22/7
\begin{pmatrix}10^{-20}\\1\end{pmatrix} ~ \begin{pmatrix}10^{-21}\\1\end{pmatrix}
\sin(10^{-20}) ~ \sin(10^{-21})
[0,10^{-20}] ~ [0,10^{-21}]
x<10^{-20} ~ x<10^{-21}
x^2=10^{-30} ~ x^2=10^{-31}
999999999999 ~ 1000000000000
0.9999999999 ~ 1
""",
    "units": r"""
5 \text{ m} ~ 5 \text{ cm}
18\mbox{ cm}^2 ~ 18 \text{ cm}^3
18\mbox{ cm}^2 ~ 18 \text{ cm}
3.6 \text{ cents} ~ 3.6 \text{ dollars}
\$5 ~ 5 \text{ cents}
10 \text{ mph} ~ 10 \text{ km/h}
5 ~ 6 \text{ cm}
3 \text{ hours} ~ 3 \text{ minutes}
5 ~ 5 million
5 \text{ kg} ~ 5 \text{ g}
5 \text{ apples} ~ 5 \text{ oranges}
\frac{3}{2} \text{ m} ~ 1.5 \text{ cm}
6\sqrt{3} \text{ cm} ~ 6\sqrt{3} \text{ m}
€5 ~ $5
5\,\mathrm{m/s} ~ 5 \text{ m}
120 ~ 2 hours
5x ~ 5
2m ~ 2
3 \text{ kg} ~ 3 \text{ g}
3 \text{ inches} ~ 3 \text{ feet}
60 \text{ mph} ~ 60 \text{ km per hour}
12 \text{ cm}^2 ~ 12 \text{ cm}^3
12 \text{ cm}^2 ~ 12 \text{ m}^2
20 \text{ dollars} ~ 20 \text{ euros}
\$20 ~ €20
45^\circ ~ 46^\circ
20 \text{ minutes} ~ 20 \text{ hours}
8 \text{ L} ~ 8 \text{ mL}
4\pi \text{ cm} ~ 4\pi \text{ m}
100^\circ C ~ 100^\circ F
5 \text{ mW} ~ 5 \text{ MW}
7 \text{ days} ~ 7 \text{ weeks}
10\% ~ 10 \text{ cm}
20 \text{ cents} ~ \$20
2 \text{ dozen} ~ 2
5 m ~ 5 cm
5 kg ~ 5 g
9.8 \text{ m/s}^2 ~ 9.8 \text{ m/s}
5 ~ 5 \text{ hundred}
5 ~ 5 \text{ tenths}
""",
    "decimals and powers of ten": r"""
3 \times 10^5 ~ 3 \times 10^6
1e5 ~ 1e6
5e ~ 5
100 ~ 1e3
1.5 ~ 1,5
10^{100} ~ 1e101
e^5 ~ 1e5
1e5 ~ 100001
6.67\times 10^{-11} ~ 6.67\times 10^{-12}
0.\overline{3} ~ 0.3
123456789012345678901 ~ 123456789012345678902
1e-20 ~ 1e-21
""",
    "intervals": r"""
[1,2] ~ 1<x<2
[3,\infty) ~ x>3
[0,1) ~ [0,1]
(0,1) ~ [0,1]
[1,2] ~ [2,1]
x>3 ~ x<3
x \ge 3 ~ y \ge 3
E = (0, 2) ~ E = (0, 2.5)
[1,2] ~ [1,2)
[0,5) ~ 0 \leq x \leq 5
(0,\infty) ~ x \geq 0
[-3,3] ~ (-3,3)
(1,3) ~ (1,4)
(-\infty,-1)\cup(1,\infty) ~ (-\infty,-1]\cup[1,\infty)
[0,1]\cup[2,3] ~ [0,1], [2,3]
x \ge 2 ~ x > 2
0<x<1 ~ 0<y<1
""",
    "lists and boxes": r"""
3, 5, 7 ~ \boxed{3}, \boxed{5}
3 ~ \boxed{3}, \boxed{5}, \boxed{7}
3,5 ~ (3,5)
x=1 \text{ or } x=2 ~ x=1
18, 45, \text{ and } 77 ~ 20, 31, \text{ and } 77
343 and 512 ~ 512
n=5, 6, 7 ~ n=4, 5, 6
1, 2, \ldots, n ~ 1, 3, 5, \ldots, 2n-1
(1,2) ~ 1, 2
(1,2) ~ (2,1)
3,5 ~ 3, 5, 5
1,1,2 ~ 1,2
\{1,2\} ~ \{1,2,3\}
a=1, b=2 ~ a=2, b=1
2, 4 ~ \boxed{2}, \boxed{4}, \boxed{6}
4 ~ \boxed{4} no wait \boxed{6}
(1,2) ~ \boxed{1}, \boxed{2}
A, C ~ AC
1, 2, 3 ~ 1, 2
1, 2 ~ 1, 2, 3
(1,2), (3,4) ~ (2,1), (4,3)
x = 2 \text{ or } x = -3 ~ 2
""",
    "percent": r"""
50\% ~ 5
0.5 ~ 50
50 ~ 0.5
50\% ~ 0.05
0.5 ~ 0.5\%
50\% ~ 60\%
20\% ~ 2
20\% ~ 0.02
20\% ~ 200\%
20\% ~ twenty
""",
    "forms": r"""
2\pi ~ 6.28
2x ~ x^2
x_2 ~ x^2
3+4i ~ 3-4i
4 ~ 4\sqrt{2}
4 ~ 4\sqrt(2)
x^2+2x+1 ~ y^2+2y+1
4x-y+9=0 ~ 4x+3y+8=0
\begin{pmatrix}1\\2\end{pmatrix} ~ \begin{pmatrix}2\\1\end{pmatrix}
\begin{pmatrix}1&2\end{pmatrix} ~ \begin{pmatrix}1\\2\end{pmatrix}
x=5 ~ y=5
x=5 ~ x=6
\infty ~ -\infty
3:30 ~ 3:31
10:00 ~ 2:00
1:2 ~ 2:1
1:2 ~ 1:3
101_2 ~ 101_3
\text{(C)} ~ D
(A) ~ (B)
\text{even} ~ odd
\left(5,\frac{\pi}{3}\right) ~ (5, \frac{2\pi}{3})
f(x)=0 ~ \forall x>0, f(x)=0
1:2:3 ~ 1:4:9
\text{Ingrid} ~ Ing
u-v ~ v-u
\text{ellipse} ~ \text{hyperbola}
y=x^2 ~ y = x^2+1
x^2-1 ~ x^2+1
\sqrt{12} ~ 3\sqrt{2}
i ~ -i
y=2x+3 ~ y=2x-3
5 ~ \sqrt{26}
3:4 ~ 4:3
3:45 ~ 3:54
3:45 \text{ pm} ~ 3:45 am
10_2 ~ 10_8
\begin{pmatrix}1&2\\3&4\end{pmatrix} ~ \begin{pmatrix}1&3\\2&4\end{pmatrix}
\frac{a}{b} ~ \frac{b}{a}
\text{Alice} ~ Bob
\angle ABC ~ \angle ACB
AB ~ BA
f'(x) ~ f(x)
\lfloor x \rfloor ~ \lceil x \rceil
C(5,2) ~ 10
east ~ seat
(a+b)^2 ~ a^2+b^2
x \neq 2 ~ x = 2
x\le 3 ~ x\ge 3
\text{Yes} ~ No
""",
    "others": r"""
\frac{1}{3} ~ \frac{1}{4} \approx 0.333
B ~ \boxed{\textbf{(A)}\ 5}
6 ~ \boxed{\textbf{(A)}\ 5}
\langle 1,2\rangle ~ \langle 2,1\rangle
\$5 \text{ per hour} ~ \$5 \text{ per day}
x_1=1, x_2=2 ~ x_1=2, x_2=1
5 ~ (-5)
5 ~ 5 \pm 1
ABC ~ CAB
i ~ i^2
I ~ I^2
I^2 R ~ I R
i_1 ~ i_2
2^{3^2} ~ 64
-2^2 ~ 4
5 ~ 5 or 6
\frac{\pi}{2} ~ 90^\circ
1 ~ 1.0000001
123 ~ 1-2-3
2024-01-05 ~ 2024-01-06
01/02/2024 ~ 02/01/2024
0.5 ~ 0,5
1,5 ~ 1.5
3 \text{ R } 2 ~ 3 \text{ R } 1
\text{Tuesday} ~ Thursday
n = 3 ~ n = 3, 4
\frac{a+b}{2} ~ \frac{A+B}{2}
\triangle ABC ~ \triangle abc
P(x) = x^2 ~ p(x)=x^2
x = 1, y = 2 ~ (1, 2)
12 ~ 12\,000
12 ~ 12.0.0
\frac{dy}{dx} ~ y'
36 ~ Answer: -36
36 ~ The answer is 3.6
D ~ Answer: C
2000 ~ 2k
2000 ~ 2.000
0.25 ~ 25 cents
1, 2, 3 ~ \boxed{1}, \boxed{2}, \boxed{2}
\pm\sqrt{2} ~ \boxed{\sqrt{2}}
3 \pm \sqrt{2} ~ 3+\sqrt{2}
4/3 ~ 1.333
11/3 ~ 1 1/3
1/3 ~ 0.33
1e-4 ~ 1e-5
(-2,5] ~ -2 \le x < 5
x^2 ~ x2
2^3 ~ 23
2 3 ~ 6
1,2 ~ 1.2
4 \text{ cm} ~ 4 \text{ mm}
30^\circ ~ 30^\circ C
12 \text{ hours} ~ 12 \text{ days}
12\text{ dollars} ~ 12 \text{ cents}
\$12 ~ 12.50
\frac{1}{2^{100}} ~ \frac{1}{2^{101}}
\frac{1}{10^{50}} ~ 0.0
5 \times 10^{-30} ~ 6 \times 10^{-30}
\sqrt{2} \cdot 10^{-20} ~ \sqrt{3} \cdot 10^{-20}
\frac{1}{50!} ~ \frac{1}{51!}
\pi \times 10^{-18} ~ 0
""",
    "units of one letter": r"""
\pi r^2 h ~ \boxed{\pi r^2}
V = \pi r^2 h ~ \boxed{V=\pi r^2}
\frac{1}{2} b h ~ \boxed{\frac12 b}
l w h ~ \boxed{l w}
2\pi r h ~ \boxed{2\pi r}
\frac{1}{2}(a+b) h ~ \boxed{\frac12(a+b)}
a b + c h ~ ab+c
k m ~ k
x+3 m ~ x+3
F = m g ~ \boxed{m}
g(x) s ~ g(x)
3\sqrt{2} s ~ 3\sqrt2
2\pi s ~ 2\pi
x cm ~ x
\frac{x}{2} s ~ \frac{x}{2}
""",
    "equations": r"""
5 ~ \boxed{2x=5}
5 ~ x^2=5
5 ~ -x=5
5 ~ x+1=5
5 ~ \frac{x}{2}=5
5 ~ \sqrt{x}=5
5 ~ 1/x = 5
5 ~ xy=5
5 ~ 2^x=5
5 ~ \log x=5
5 ~ |x|=5
5 ~ 2x + 1 = 5
5 ~ \boxed{3x+y=5}
5 ~ x!=5
5 ~ 5 = 2x
5 ~ x^{-1}=5
5 ~ \boxed{x^{-1}=5}
5 ~ 3x = 15 = 5
5 ~ (x+1)=5
5 ~ \boxed{x(x+1)=5}
0 ~ \boxed{x^2-4=0}
0 ~ \boxed{\sin x=0}
0 ~ \boxed{x-3=0}
1 ~ \boxed{x^2+y^2=1}
2x+1 ~ \boxed{3y=2x+1}
\frac12 ~ \boxed{\sin\theta=\frac12}
x+y=10 ~ \boxed{10}
2x=5 ~ 5
x^2=9 ~ 9
""",
    "arguments of functions": r"""
\ln x \cdot x ~ \ln(x^2)
\sin x \cdot y ~ \sin(xy)
\log 2\cdot 5 ~ \log 10
\log_2 8\cdot 2 ~ \log_2 16
\sin(x \cos y) ~ \sin x\cdot\cos y
\cos x \times x ~ \cos(x^2)
\sin x \cos y ~ \sin(x\cos y)
\ln x + 1 ~ \ln(x+1)
\sin x \cdot 2 ~ \sin 2x
""",
    "words behind a number": r"""
5 ~ \boxed{5 \text{ less than } x}
5 ~ 5\text{ more than }x
5 ~ 5 \text{ times } x
5 ~ 5 \text{ squared}
5 ~ 5 \text{ factorial}
5 ~ 5\text{x}
5 ~ 5 \text{ is wrong}
5 ~ 5 \text{ not}
3 ~ 3\text{ cubed}
5 ~ 5 \text{ or more}
5 ~ 5 \text{ and a half}
101 ~ 101 \text{ base two}
5 ~ 5 \text{ over } 2
5 ~ 5 \text{ if } n \text{ is odd}
""",
    "functions": r"""
\frac{dy}{dx} ~ \frac{dx}{dy}
\frac{\partial f}{\partial x} ~ \frac{\partial f}{\partial y}
E(X^2) ~ E(X)^2
f(x+1) ~ fx+f
g(n-1)+1 ~ gn-g+1
f^{-1}(x) ~ \frac{1}{f(x)}
f(2x) ~ 2f(x)
f(x)+f(y) ~ f(x+y)
\frac{d^2y}{dx^2} ~ \frac{y}{x^2}
""",
    "products of letters": r"""
abcd ~ ABCD
am ~ AM
at ~ AT
an ~ AN
\angle ABCD ~ \angle abcd
abc ~ ABC
no ~ on
mgh ~ mGh
""",
    "trailing dots": r"""
1,2,3 ~ 1,2,3,...
2, 4, 6 ~ \boxed{2, 4, 6, ...}
0.333 ~ 0.333...
3.14 ~ 3.14...
3.14 ~ 3.14…
1,2,3 ~ 1,2,3,\ldots
""",
    "meaning of marks": r"""
\emptyset ~ \{\emptyset\}
\{\{1\}\} ~ \{1\}
\pi ~ \pi\cdot(1+10^{-250})
x<1 \text{ or } x>3 ~ x<1 \text{ and } x>3
2024-01-05 ~ 2024-05-01
2024-01-05 ~ 2018
1/2/2024 ~ 1/4048
3-5 ~ -2
3-5-7 ~ -9
12/25/2024 ~ 25/12/2024
""",
    "times of day": r"""
3:30 \text{ p.m.} ~ 3:30 am
3:30 \text{ p.m.} ~ 3:31 pm
""",
    "prose with whole formulas": r"""
42 ~ The result is −42.
42 ~ The result is –42.
42 ~ The result is ‑42.
7 ~ The result is - 7.
5 ~ The result is − $5.
2 ~ The result is −1/2.
10 ~ The result is 4.2×10¹.
10 ~ The result is 2*10^5.
10 ~ The result is 2 x 10^5.
1 ~ The result is x^2+1.
2 ~ So the total is 3x + 2, as required.
1 ~ The result is 2n+1.
2 ~ The result is n(n+1)/2.
2 ~ The result is x/2.
4 ~ The result is 3+4i.
8 ~ The result is 5 / 8.
2 ~ The result is √3/2.
2 ~ The result is \frac{\sqrt{3}}{2}.
4 ~ Therefore she gets π/4.
4 ~ Therefore she gets pi/4.
3 ~ The result is 2 sqrt(3).
25 ~ Therefore she gets 25 pi.
2\pi ~ The result is 2\pi r.
2 ~ The result is 2½.
42 ~ The result is 42 and a half.
30 ~ The result is 3:30.
2 ~ The result is 1:2.
2 ~ The result is 1 : 2.
3 ~ The result is ±3.
3 ~ The result is x > 3.
101 ~ The result is 101_2.
5 ~ The result is 5!.
5 ~ The result is log 5.
42 ~ The result is 42⁰.
42 ~ The result is 42n.
2 ~ The result is \binom{5}{2}.
-3 ~ The result is 10^{-3}.
2 ~ The result is 2^{10}.
""",
    "texts around a value": r"""
42 ~ The answer is not 42.
42 ~ The answer isn't 42.
42 ~ The answer cannot be 42.
42 ~ x is not 42
42 ~ The answer is negative 42.
42 ~ negative 42
42 ~ The answer is minus 42.
42 ~ The answer is less than 42.
42 ~ It is at most 42.
42 ~ The answer is at least 42.
42 ~ There are more than 42 of them.
42 ~ It is greater than 42.
42 ~ The answer is > 42.
42 ~ It is between 40 and 42.
42 ~ It is either 41 or 42.
42 ~ So x = 7 or x = 42.
3 ~ The roots are $2$ and $3$.
3 ~ We get $2$ or $3$.
7 ~ The result is 3, 5 and 7.
42 ~ The answer is never 42.
42 ~ It is about 42 or 43.
42 ~ The value is fewer than 42.
42 ~ No more than 42 fit.
5 ~ Yes, because 5 > 3.
""",
    "neighbours": r"""
12 ~ The answer is 1 2.
12 ~ 1, 2
42 ~ 420
42 ~ 42/2
42 ~ 42 + x
42 ~ 42i
42 ~ 42^2
42 ~ \boxed{42\sqrt{2}}
42 ~ \boxed{42\pi}
42 ~ The answer is 42 or 43.
42 ~ not 42
42 ~ The answer is no longer 42.
42 ~ either 42 or 24
42 ~ 41 < x < 42
42 ~ x \le 42
42 ~ f(x) = 42x
42 ~ \boxed{(42, 0)}
42 ~ \boxed{\{42, 43\}}
42 ~ \boxed{-42}
R ~ r
\pi R ~ \pi r
A B ~ a b
\frac{1}{2^{80}} ~ 0
5 \text{ m} ~ 5 \text{ km}
5 \text{ m} ~ 5 \text{ seconds}
5 \text{ m} ~ 5 \text{ m}^2
\$5 ~ 5 \text{ euros}
[1,2] ~ (1,2)
[1,2] ~ 1 \le x < 2
(1,2) ~ [1,2)
x > 3 ~ x \ge 3
3, 5, 7 ~ 3, 5
3, 5 ~ \boxed{3}
3 ~ \boxed{3, 5}
\pm 15 ~ 15
1 \pm \sqrt{19} ~ 1 + \sqrt{19}
5/2 ~ 2 1/3
5/2 ~ 21/2
\sqrt{3} ~ 1.732
\frac13 ~ 0.33
\sin x \cos x ~ \sin(x \cos x)
\ln 2x ~ \ln 2 \cdot \ln x
\log_2 5 ~ \log_5 2
x=3 ~ y=3
(2,3) ~ (3,2)
f(3) ~ 3f
f(x) = 2x ~ g(x) = 2x
a^{bc} ~ a^b c
2x ~ 2 \text{ times}
x ~ X
AB ~ A
AB ~ BC
\text{Tom} ~ Tim
\text{odd} ~ even
north ~ thorn
42 ~ It's not 42
42 ~ The answer could be 42 or 43.
42 ~ I'd say it isn't exactly 42.
7 ~ There are 7 to 9 of them
12 ~ The answer is 12x.
12 ~ The answer is 12/x
5 ~ \boxed{5x=25}
5 ~ \boxed{y-x=5}
5 ~ 5 \text{ fewer}
5 ~ 5 \text{ to the power of } 2
x ~ \boxed{2x=x}
2 ~ \boxed{x=2 \text{ or } 3}
2 ~ \boxed{2 \text{ or } 3}
0 ~ x^2=0
4 ~ 2^2 = 5
3 ~ 3+x
3 ~ 3\text{ mod }5
100 ~ 10^2 + x
15 ~ between 10 and 15
15 ~ up to 15
15 ~ The answer is more than 15 but less than 20
5 ~ $x \ne 5$
5 ~ x ≠ 5
5 ~ x \neq 5
5 ~ \boxed{x \approx 5.2}
6 ~ -6
6 ~ \boxed{-6}
6 ~ The answer is 6 or -6
h ~ m
2 ~ 2 \text{ dozen}
xy ~ x
x ~ xy
2a ~ 2A
\sin x ~ \sin
\sin x ~ x
\pi ~ p i
f(x) ~ f x
f(x)=x ~ g(x)=x
""",
    "sentences": r"""
12 ~ The answer is almost 12
12 ~ The speed is 12x km/h.
12 ~ The length is 12√2.
12 ~ The length is 12 sqrt(2).
12 ~ The total is -12.
12 ~ The result is 3 - 12.
12 ~ The ratio is 3:12.
12 ~ The value is x^12.
12 ~ The value is x_12.
12 ~ The interval is [3, 12].
12 ~ The answer lies between 3 and 12.
12 ~ The number isn't 12.
12 ~ There is no x with x = 12... so none.
12 ~ anything but 12
12 ~ The answer is e^{12}.
12 ~ It is 5 mod 12.
12 ~ It is 5/12.
12 ~ It is 5 out of 12.
12 ~ The answer is 12 or more.
12 ~ The answer is 12 squared.
12 ~ It is half of 12.
12 ~ It is twice 12.
12 ~ log_2(12)
12 ~ f(12)
12 ~ The answer is f(12).
12 ~ The answer is C(12).
p \Rightarrow q ~ q
""",
}


def pairs(table: str) -> list[tuple[str, str]]:
    """Answer and prediction of each line."""
    lines = [line.split(" ~ ") for line in table.strip().split("\n")]
    return [(answer, prediction.replace("↵", "\n")) for answer, prediction in lines]
